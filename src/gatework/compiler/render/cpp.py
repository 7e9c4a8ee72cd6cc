"""C++ for a plan: the cell's pointwise graph as functions on vectors, put in front of the skeleton in `native/`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatework.compiler.diagonal import other_cotangents
from gatework.compiler.graph import Unsupported, op_name, operands
from gatework.compiler.plan import Plan
from gatework.compiler.render.operations import MASKS, expression, number
from gatework.compiler.render.staged import STAGED_CALL, StagedSource, table
from gatework.compiler.stages import Staged
from gatework.compiler.trace import Value

if TYPE_CHECKING:
    from torch.fx import Node

# Fields of the struct that a launch fills: name and how many (0: one number, else an array for each of these).
CALL: tuple[tuple[str, str], ...] = (
    *((name, "") for name in ("T", "B", "I", "H", "N", "full_T", "reverse", "threads", "train", "packed")),
    *((name, "") for name in ("batch_sizes", "offsets", "lengths", "order", "seed", "progress", "awaits")),
    *((name, "") for name in ("x", "x_time", "x_batch", "y", "y_time", "y_batch", "w_ih", "b_ih", "w_scale", "saved")),
    *((name, "PRODUCTS") for name in ("U", "b_hh", "U_scale")),
    ("vectors", "VECTORS"),
    *((name, "STATES") for name in ("first", "last", "sequence")),
    *((name, "") for name in ("gy", "gy_time", "gy_batch", "dx", "dx_time", "dx_batch", "dw_ih", "db_ih")),
    *((name, "PRODUCTS") for name in ("dU", "db_hh")),
    ("d_vectors", "VECTORS"),
    *((name, "EXTRAS") for name in ("extra", "extra_time", "extra_batch", "d_extra", "d_extra_time", "d_extra_batch")),
    *((name, "STATES") for name in ("g_last", "d_first")),
)


def _program(wanted: Iterable[Node], known: dict[Node, str]) -> tuple[list[str], dict[Node, str]]:
    """Statements that compute the wanted nodes from the known ones, and the name of every computed value."""
    names = dict(known)
    lines: list[str] = []

    def value(argument: Any) -> str:
        if isinstance(argument, bool | int | float):
            return number(argument)
        return names[argument]

    stack = list(wanted)
    order: set[Node] = set()
    while stack:
        node = stack.pop()
        if node not in known and node not in order:
            order.add(node)
            stack.extend(operands(node))
    for node in next(iter(wanted)).graph.nodes if order else ():
        if node in order:
            names[node] = f"{op_name(node)}_{len(lines)}"
            lines.append(f"const {'M' if op_name(node) in MASKS else 'V'} {names[node]} = {expression(node, value)};")
    return lines, names


def _forward(plan: Plan) -> list[str]:
    known = {node: f"{kind}[{k}]" if kind != "raw" else "gate[GATES]" for node, (kind, k) in plan.leaves.items()}
    lines, names = _program((*plan.new, *plan.saved), known)
    writes = [f"fresh[{k}] = {names[n]};" for k, n in enumerate(plan.new)]
    as_bits = {
        n: f"number({names[n]})" for n in plan.saved if op_name(n) in MASKS
    }  # a mask is kept as the bits of a number
    writes += [f"save[{k}] = {as_bits.get(n, names[n])};" for k, n in enumerate(plan.saved)]
    head = [
        "    INLINE void forward(const V* gate, const V* sum, const V* old, const V* vector, const V* more,",
        "                        V* fresh, V* save) {",
    ]
    return [*head, *(f"        {line}" for line in (*lines, *writes)), "    }"]


def _used(plan: Plan) -> set[Value]:
    wanted = [*(s.node for s in plan.slots), *plan.d_states, *plan.d_vectors, *plan.d_extras, *plan.d_raw]
    stack, seen = list(wanted), set()
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            if node not in plan.given:
                stack.extend(operands(node))
    return {value for node, value in plan.given.items() if node in seen}


def _backward(plan: Plan) -> list[str]:
    names_of = {"saved": "save", "old": "old", "new": "fresh", "vector": "vector", "more": "more", "d_new": "d_fresh"}
    known = {n: f"{names_of[kind]}[{k}]" if kind != "raw" else "save[SAVED]" for n, (kind, k) in plan.given.items()}
    known |= {node: f"bits(save[{k}])" for k, node in enumerate(plan.saved) if op_name(node) in MASKS}
    lines, names = _program(
        [*(s.node for s in plan.slots), *plan.d_states, *plan.d_vectors, *plan.d_extras, *plan.d_raw], known
    )
    writes = [f"d[{k}] = {names[s.node]};" for k, s in enumerate(plan.slots)]
    writes += [f"d_old[{k}] = {names[n]};" for k, n in enumerate(plan.d_states)]
    writes += [f"d_vector[{k}] = {names[n]};" for k, n in enumerate(plan.d_vectors)]
    writes += [f"d_more[{k}] = {names[n]};" for k, n in enumerate(plan.d_extras)]
    writes += [f"d[SLOTS] = {names[n]};" for n in plan.d_raw]
    head = [
        "    INLINE void backward(const V* save, const V* old, const V* fresh, const V* vector, const V* more,",
        "                         const V* d_fresh, V* d, V* d_old, V* d_vector, V* d_more) {",
    ]
    return [*head, *(f"        {line}" for line in (*lines, *writes)), "    }"]


def _linear(plan: Plan) -> list[str]:
    """What a step does to the scanned state: factor * old + offset."""
    lines: list[str] = []
    if (state := plan.scanned) is not None:
        known = {node: f"{kind}[{k}]" if kind != "raw" else "gate[GATES]" for node, (kind, k) in plan.leaves.items()}
        known |= dict.fromkeys(other_cotangents(plan.given, state), "V{}")
        known |= {node: "V{}" for node, (kind, _) in plan.leaves.items() if kind == "old"}
        known |= {node: "splat(1)" for node, value in plan.given.items() if value == ("d_new", state)}
        factor, offset = plan.d_states[state], plan.new[state]
        lines, names = _program((factor, offset), known)
        lines += [f"factor = {names[factor]};", f"offset = {names[offset]};"]
    head = "    INLINE void linear(const V* gate, const V* vector, const V* more, V& factor, V& offset) {"
    return [head, *(f"        {line}" for line in lines), "    }"] if plan.kind in ("D", "S") else []


def cell_source(plan: Plan) -> str:
    """The part of the source that differs between cells."""
    states, products = range(len(plan.cell.states)), plan.products
    used = _used(plan)
    operand_slots = [
        [k for k, s in enumerate(plan.slots) if s.product is not None and products[s.product].operand == o]
        for o in states
    ]
    counts = {
        "GATES": len(plan.cell.gate_names) + len(plan.hoisted),
        "PRODUCTS": len(products),
        "VECTORS": len(plan.vectors),
        "EXTRAS": len(plan.extras),
        "MORE": len(plan.extras) + len(plan.noises),
        "STATES": len(plan.cell.states),
        "SAVED": len(plan.saved),
        "SLOTS": len(plan.slots),
        "RAW": len(plan.d_raw),
        "SCAN": -1 if plan.scanned is None else plan.scanned,
        "CHUNKS": len(plan.chunks),
        "UV": plan.panel_vectors,
    }
    tables: dict[str, list[int]] = {
        "chunk_state": [c[0] for c in plan.chunks],
        "chunk_first": [c[1] for c in plan.chunks],
        "chunk_size": [c[2] for c in plan.chunks],
        "is_operand": [int(any(p.operand == s for p in products)) for s in states],
        "product_state": [p.operand for p in products],
        "operand_slots": [len(slots) for slots in operand_slots],
        "operand_slot": [min(slots, default=0) for slots in operand_slots],
        "operand_first": [sum(len(slots) for slots in operand_slots[:s]) for s in states],
        "needs_old": [int(("old", s) in used) for s in states],
        "needs_new": [int(("new", s) in used) for s in states],
        "extra_width": [int(str(e.size) == "1") for e in plan.extras],
        "noise_stream": list(range(len(plan.noises))),
        "noise_sequence": [int(n.per == "sequence") for n in plan.noises],
        "slot_gate": [-1 if s.gate is None else s.gate for s in plan.slots],
        "slot_product": [-1 if s.product is None else s.product for s in plan.slots],
    }
    return "\n".join(
        [
            f"// {plan.cell!r}: gates {', '.join(plan.cell.gate_names)}; states {', '.join(plan.cell.states)}",
            "struct Cell {",
            f"    static constexpr int {', '.join(f'{k} = {v}' for k, v in counts.items())};",
            *(table(name, values) for name, values in tables.items()),
            *_forward(plan),
            *_backward(plan),
            *_linear(plan),
            "};",
        ]
    )


# The files that a kernel class is set into.
_SKELETONS: dict[str, tuple[str, ...]] = {
    "M1": ("forward.h", "backward.h"),
    "M1t": ("forward.h", "backward.h"),
    "D": ("diagonal.h", "diagonal_forward.h", "diagonal_backward.h"),
    "S": ("diagonal.h", "diagonal_forward.h", "diagonal_backward.h"),
}


@cache
def skeleton() -> dict[str, str]:
    """The files of `native/`, without the lines that only serve editors."""
    folder = Path(__file__).parent / "native"
    drop = ("#pragma once", '#include "')
    files = sorted(p for p in folder.iterdir() if p.suffix in (".h", ".cpp"))
    return {p.name: "".join(x for x in p.read_text().splitlines(True) if not x.startswith(drop)) for p in files}


def tiles(coding: str = "plain") -> str:
    """The source of the tiles, which every kernel of a coding is linked to."""
    files = skeleton()
    return "\n".join(files[name] for name in ("vector.h", "tile.h", *_coding(coding), "tiles.cpp"))


def _coding(coding: str) -> tuple[str, ...]:
    return ("plain.h",) if coding == "plain" else ("words.h", f"{coding}.h")


def call_struct(fields: Sequence[tuple[str, str]], name: str = "Call") -> str:
    """The struct that a launch fills: each field one number or address, or as many as `Cell::<count>`, and one."""
    lines = "\n".join(f"    int64_t {field}{f'[Cell::{count} + 1]' if count else ''};" for field, count in fields)
    return f"struct {name} {{  // every field is a number or an address\n{lines}\n}};"


THREADS = """extern "C" void gatework_threads(void* start, void* rank, void* size) {
    team_start = (void (*)(Region, void*, unsigned, unsigned))start;
    team_rank = (int (*)())rank;
    team_size = (int (*)())size;
}
extern "C" int gatework_together(int (*pass)(const void*), const int64_t* calls, int64_t n, int64_t threads) {
    std::atomic<int> failed{0};
    on_team(n < threads ? n : threads, [&](int rank, int size) {
        for (int64_t i = rank; i < n; i += size)
            if (pass((const void*)calls[i])) failed = 1;
    });
    return failed;
}
"""


def render(plan: Plan | Staged, coding: str = "plain") -> str:
    """The source of a plan's kernel; see `native/` for the skeleton that it is set into.

    `coding` says how numbers are kept for the products: "plain", "brain" (bfloat16) or "bytes" (weights of eight bits,
    forward only).  Raises Unsupported for a kernel class that knows plain numbers only.
    """
    files, passes = skeleton(), _SKELETONS.get(plan.kind, ())
    if coding != "plain" and "forward.h" not in passes:
        raise Unsupported(f"kernels of class {plan.kind} have no form for short numbers so far.")
    if coding == "bytes" and isinstance(plan, Plan) and plan.hoisted:
        raise Unsupported("products of the raw input have no form for weights of eight bits so far.")
    common = [files[name] for name in ("threads.h", "tile.h", *_coding(coding), "layout.h", "more.h")]
    if isinstance(plan, Staged):
        cell, step = StagedSource(plan).text()
        parts = [files["vector.h"], cell, call_struct(STAGED_CALL), *common, files["rows.h"], files["staged.h"], step]
        return "\n".join([*parts, files["staged_forward.h"], files["outer.h"], files["staged_backward.h"], THREADS])
    parts = [files["vector.h"], cell_source(plan), call_struct(CALL), *common]
    passes = passes[:1] if coding == "bytes" else passes
    return "\n".join([*parts, *(files[name] for name in passes), THREADS])
