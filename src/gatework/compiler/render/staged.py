"""C++ for a staged plan: counts and tables, and the work of each stage on a row, around the skeleton in `native/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gatework.cells.declarations import Matrix
from gatework.compiler.graph import CONSTANTS, is_read, op_name, size_of
from gatework.compiler.render.rows import Place, Random, RowProgram, SizeTable
from gatework.compiler.stages import Staged

if TYPE_CHECKING:
    from torch.fx import Node


# Fields of the struct that a launch fills; see `cpp.call_struct`.
STAGED_CALL: tuple[tuple[str, str], ...] = (
    *((name, "") for name in ("T", "B", "I", "H", "N", "full_T", "reverse", "threads", "train", "packed")),
    *((name, "") for name in ("batch_sizes", "offsets", "lengths", "order", "seed")),
    *((name, "") for name in ("x", "x_time", "x_batch", "y", "y_time", "y_batch", "w_ih", "b_ih", "saved")),
    *((name, "PRODUCTS") for name in ("U", "b_hh")),
    ("vectors", "VECTORS"),
    *((name, "STATES") for name in ("first", "last")),
    *((name, "") for name in ("gy", "gy_time", "gy_batch", "dx", "dx_time", "dx_batch", "dw_ih", "db_ih")),
    *((name, "PRODUCTS") for name in ("dU", "db_hh")),
    ("d_vectors", "VECTORS"),
    *((name, "EXTRAS") for name in ("extra", "extra_time", "extra_batch", "d_extra", "d_extra_time", "d_extra_batch")),
    *((name, "STATES") for name in ("g_last", "d_first")),
)


class StagedSource:
    """The generated part of a staged kernel's source.

    Attributes:
        sizes: the sizes that it speaks of.
        order: the products as the kernel has them, by their position in the plan: those of one operand side by side.
        reads_raw: whether the step reads the input itself.
        groups: (operand, first product, count) of products that are made together, in the kernel's order.
    """

    def __init__(self, plan: Staged) -> None:
        self.plan, self.cell = plan, plan.cell
        self.sizes = SizeTable(plan.traced.sizes)
        heads = [self._measured(p.key, "heads") for p in plan.products]
        self.order = sorted(range(len(plan.products)), key=lambda j: (plan.products[j].operand, heads[j] > 1))
        self.groups: list[tuple[int, int, int]] = []
        for new, j in enumerate(self.order):
            o, joins = plan.products[j].operand, heads[j] == 1 and self.groups and heads[self.order[new - 1]] == 1
            if joins and self.groups[-1][0] == o:
                self.groups[-1] = (o, self.groups[-1][1], self.groups[-1][2] + 1)
            else:
                self.groups.append((o, new, 1))
        self.temps = 0
        self.reads_raw = is_read(plan.placeholders["raw", 0]) or ("raw", 0) in plan.traced.operands

    def _measured(self, key: str, what: str) -> int:
        declared, sizes = self.cell.declared[key], self.plan.traced.sizes
        assert isinstance(declared, Matrix)
        return self.cell.measure(getattr(declared, what), sizes.hidden, sizes.input)

    def _leaf_size(self, kind: str, k: int) -> int:
        return size_of(self.plan.placeholders[kind, k])

    def _operand(self, o: int) -> tuple[int, int]:
        """Where an operand is read: 0 among old states, 1 the input, 2 among saved values; and where there."""
        value = self.plan.traced.operands[o]
        if value is not None and value[0] in ("old", "raw"):
            return (0, value[1]) if value[0] == "old" else (1, 0)
        return 2, self.plan.saved.index(self.plan.traced.applied[o])

    def _count(self, kind: str) -> int:
        return sum(k == kind for k, _ in self.plan.placeholders)

    def text(self) -> tuple[str, str]:
        """`struct Cell`, which stands before the skeleton's types, and `struct Step`, which uses them."""
        step = self._step()
        return self._cell(), step

    def _tables(self) -> dict[str, list[int]]:
        """What the skeleton looks up, by position."""
        plan, index = self.plan, self.sizes.index
        products = [plan.products[j] for j in self.order]
        operands = range(len(plan.traced.operands))

        def leaves(kind: str) -> list[int]:
            return [index(self._leaf_size(kind, k)) for k in range(self._count(kind))]

        def slot(kind: str, k: int) -> int:
            return plan.slots.index(plan.traced.gradients[kind, k])

        return {
            "gate_size": leaves("gate"),
            "state_size": leaves("old"),
            "vector_size": leaves("vector"),
            "extra_size": leaves("extra"),
            "saved_size": [index(size_of(n)) for n in plan.saved],
            "cross_size": [index(size_of(n)) for n in plan.crossing],
            "d_cross_size": [index(size_of(n)) for n in plan.d_crossing],
            "slot_size": [index(size_of(n)) for n in plan.slots],
            "rows": [index(self._measured(p.key, "rows")) for p in products],
            "columns": [index(self._measured(p.key, "columns")) for p in products],
            "heads": [index(self._measured(p.key, "heads")) for p in products],
            "product_operand": [p.operand for p in products],
            "product_slot": [slot("sum", j) for j in self.order],
            "gate_slot": [slot("gate", k) for k in range(self._count("gate"))],
            "group_operand": [g[0] for g in self.groups],
            "group_first": [*(g[1] for g in self.groups), len(products)],
            "operand_kind": [self._operand(o)[0] for o in operands],
            "operand_index": [self._operand(o)[1] for o in operands],
            "operand_saved": [plan.saved.index(n) if n in plan.saved else -1 for n in plan.traced.applied],
            "again": [
                int(any((plan.products[i].key, plan.products[i].name) == (p.key, p.name) for i in self.order[:k]))
                for k, p in enumerate(products)
            ],
            "operand_size": [index(size_of(plan.traced.applied[o])) for o in operands],
            "forward_round": [next(s for s, stage in enumerate(plan.forward) if o in stage.then) for o in operands],
            "backward_round": [next(s for s, stage in enumerate(plan.backward) if o in stage.then) for o in operands],
            "forward_empty": [int(not s.nodes and not s.passed) for s in plan.forward],
            "backward_empty": [int(not s.nodes and not s.passed) for s in plan.backward],
            "extra_width": [int(size_of(plan.placeholders["extra", k]) == 1) for k in range(self._count("extra"))],
            "noise_stream": list(range(len(plan.noises))),
            "noise_sequence": [int(n.per == "sequence") for n in plan.noises],
        }

    def _cell(self) -> str:
        plan, tables = self.plan, self._tables()
        counts = {
            "GATES": self._count("gate"),
            "PRODUCTS": len(plan.products),
            "GROUPS": len(self.groups),
            "OPERANDS": len(plan.traced.operands),
            "VECTORS": self._count("vector"),
            "STATES": self._count("old"),
            "EXTRAS": self._count("extra"),
            "NOISES": len(plan.noises),
            "MORE": self._count("extra") + len(plan.noises),
            "RAW": int(self.reads_raw),
            "SAVED": len(plan.saved),
            "CROSS": len(plan.crossing),
            "D_CROSS": len(plan.d_crossing),
            "SLOTS": len(plan.slots),
            "FORWARD": len(plan.forward),
            "BACKWARD": len(plan.backward),
            "TEMPS": self.temps,
            "SIZES": len(self.sizes.formulas),
        }
        sizes = " ".join(f"n[{k}] = {formula};" for k, formula in enumerate(self.sizes.formulas))
        head = f"// {self.cell!r}: gates {', '.join(self.cell.gate_names)}; states {', '.join(self.cell.states)}"
        return "\n".join(
            [
                head,
                "struct Cell {",
                f"    static constexpr int {', '.join(f'{k} = {v}' for k, v in counts.items())};",
                f"    static void sizes(long H, long I, long* n) {{ {sizes} }}",
                *(table(name, values) for name, values in tables.items()),
                "};",
            ]
        )

    def _leaves(self) -> dict[Node, Place | Random]:
        """Where the inputs of a step are read."""
        texts = {
            "gate": "r.gates + k.gate_at[{0}]",
            "old": "r.old + k.state_at[{0}]",
            "vector": "r.vectors + k.vector_at[{0}]",
            "d_new": "r.d_fresh + k.state_at[{0}]",
            "d_operand": "r.d_operand + k.operand_at[{0}]",
        }
        found: dict[Node, Place | Random] = {}
        for (kind, k), node in self.plan.placeholders.items():
            if kind in texts:
                found[node] = Place(texts[kind].format(k))
            elif kind == "sum":
                found[node] = Place(f"r.sums + k.sum_at[{self.order.index(k)}]")
            elif kind == "extra":
                found[node] = Place(f"r.extra[{k}]", padded=False)
            elif kind == "raw":
                found[node] = Place("r.raw", padded=False)
            elif kind == "noise":
                found[node] = Random(f"r.key[{k}]")
        return found

    def _saved(self) -> dict[Node, Place | Random]:
        return {node: Place(f"r.saved + k.saved_at[{k}]") for k, node in enumerate(self.plan.saved)}

    def _step(self) -> str:
        plan = self.plan
        crossing: dict[Node, Place | Random] = {
            n: Place(f"r.cross + k.cross_at[{i}]") for i, n in enumerate(plan.crossing)
        }
        saved = self._saved()
        given = self._leaves() | saved | crossing
        lines = ["struct Step {"]
        for name, training in (("train", True), ("infer", False)):
            writes = _Writes()
            for k, node in enumerate(plan.traced.new):
                writes.add(node, f"r.fresh + k.state_at[{k}]")
            writes.add(plan.traced.new[0], "r.y", padded=False)
            for node, place in crossing.items():
                writes.add(node, place.text)  # type: ignore[union-attr]
            for node, place in saved.items():
                if training or self._read_later(node):
                    writes.add(node, place.text)  # type: ignore[union-attr]
            # an old state is read where it lies, also after it was saved
            programs = self._programs(plan.forward, given | self._leaves(), writes.places)
            lines += _function(name, programs)
        crossing = {n: Place(f"r.d_cross + k.d_cross_at[{i}]") for i, n in enumerate(plan.d_crossing)}
        programs = self._programs(plan.backward, self._leaves() | saved | crossing, self._gradients(crossing))
        return "\n".join([*lines, *_function("backward", programs), "};"])

    def _read_later(self, node: Node) -> bool:
        """Whether forward itself reads a saved value: a product, or a later stage."""
        applied = {
            self.plan.traced.applied[o] for o, _ in enumerate(self.plan.traced.operands) if self._operand(o)[0] == 2
        }
        home = next((s for s, stage in enumerate(self.plan.forward) if node in stage.nodes), None)
        later = {
            a for s, stage in enumerate(self.plan.forward) if s != home for n in stage.nodes for a in n.all_input_nodes
        }
        return node in applied or (home is not None and node in later)

    def _gradients(self, crossing: Mapping[Node, Place | Random]) -> dict[Node, list[tuple[Place, str]]]:
        plan, writes = self.plan, _Writes()
        for k, node in enumerate(plan.slots):
            writes.add(node, f"r.slots + k.slot_at[{k}]")
            writes.add(node, f"r.totals + k.slot_at[{k}]", "+=")
        for (kind, k), node in plan.traced.gradients.items():
            if kind == "old":
                writes.add(node, f"r.d_old + k.state_at[{k}]")
            elif kind == "vector" and op_name(node) not in CONSTANTS:
                writes.add(node, f"r.vector_totals + k.vector_at[{k}]", "+=")
            elif kind == "extra":
                writes.add(node, f"r.d_extra[{k}]", padded=False)
            elif kind == "raw" and self.reads_raw:
                writes.add(node, "r.d_raw", padded=False)
        for node, place in crossing.items():
            writes.add(node, place.text)  # type: ignore[union-attr]
        return writes.places

    def _programs(
        self,
        stages: Sequence[object],
        given: Mapping[Node, Place | Random],
        writes: Mapping[Node, list[tuple[Place, str]]],
    ) -> list[list[str]]:
        texts = []
        for stage in stages:
            program = RowProgram(self.sizes, stage.nodes, stage.passed, given, writes)  # type: ignore[attr-defined]
            texts.append(program.text())
            self.temps = max(self.temps, len(program.temps))
        return texts


class _Writes:
    def __init__(self) -> None:
        self.places: dict[Node, list[tuple[Place, str]]] = {}

    def add(self, node: Node, text: str, sign: str = "=", padded: bool = True) -> None:
        self.places.setdefault(node, []).append((Place(text, padded), sign))


def _function(name: str, programs: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"    static void {name}(int stage, const Row& r, const Shape& k, const long* n) {{"]
    lines += ["        const long H = n[0], I = n[1];", "        (void)H, (void)I, (void)k;"]
    for s, program in enumerate(programs):
        lines += [
            f"        if (stage == {s}) {{",
            *(f"            {line}" for line in program),
            "            return;",
            "        }",
        ]
    return [*lines, "    }"]


def table(name: str, values: Sequence[int]) -> str:
    """A table of whole numbers as a function that a compiler can look through."""
    row = ", ".join(map(str, (*values, 0)))
    return f"    static constexpr int {name}(int i) {{ constexpr int t[] = {{{row}}}; return t[i]; }}"
