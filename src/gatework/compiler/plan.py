"""What a kernel has to do, decided once for each cell: what forward saves, where gradients lie."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gatework.cells.cell import Cell
from gatework.cells.declarations import Extra, Noise
from gatework.compiler.diagonal import is_linear, scanned
from gatework.compiler.graph import descendants, is_read, op_name, operands, size_of
from gatework.compiler.trace import Product, Traced, Value, trace

if TYPE_CHECKING:
    from torch.fx import Graph, Node

    from gatework.compiler.stages import Staged

_MOST_IN_TILE = 4


@dataclass(frozen=True)
class Slot:
    """One value [N, H] of the gradient buffer: the gradient of an input product, of a recurrent product, or of both."""

    node: Node
    gate: int | None
    product: int | None


@dataclass(frozen=True)
class Plan:
    """A cell's kernel, before it is written in any language.

    Attributes:
        kind: the kernel class; "M1" is one grouped product on old states, then pointwise; "M1t" has further inputs or
            random numbers in each step; "D" has no product, and "S" is linear in its states besides.
        hoisted: products of the raw input, which are gates after the cell's own.
        same: the step works only with I = H.
        products, vectors, graph: as traced; an operand is the position of a state.
        extras, noises: further inputs of each step and random numbers, which together are the "more" values.
        leaves: what forward is given: "gate", "old", "vector", "more" and "sum" values.
        new: the new states.
        saved: forward values that are written for backward.
        given: what backward is given instead of computing it: "saved", "old", "new", "vector", "more", "raw", "d_new".
        slots: the gradient buffer, gates first, products last.
        scanned: in class "S" the only state that a step reads, if there is just one.
        d_states, d_vectors, d_extras, d_raw: the remaining gradients; that of the raw input only where it is used.
    """

    kind: str
    same: bool
    cell: Cell
    products: tuple[Product, ...]
    hoisted: tuple[tuple[str, str], ...]
    vectors: tuple[tuple[str, str], ...]
    extras: tuple[Extra, ...]
    noises: tuple[Noise, ...]
    graph: Graph
    leaves: dict[Node, Value]
    new: tuple[Node, ...]
    saved: tuple[Node, ...]
    given: dict[Node, Value]
    slots: tuple[Slot, ...]
    d_states: tuple[Node, ...]
    d_vectors: tuple[Node, ...]
    d_extras: tuple[Node, ...]
    d_raw: tuple[Node, ...]
    scanned: int | None

    @property
    def chunks(self) -> tuple[tuple[int, int, int], ...]:
        """Products that share a register tile: (operand state, first product, count)."""
        found: list[tuple[int, int, int]] = []
        for k, product in enumerate(self.products):
            if found and found[-1][0] == product.operand and found[-1][2] < _MOST_IN_TILE:
                found[-1] = (found[-1][0], found[-1][1], found[-1][2] + 1)
            else:
                found.append((product.operand, k, 1))
        return tuple(found)

    @property
    def panel_vectors(self) -> int:
        """Vectors of units in one forward panel, so that a panel holds up to 4 vectors of products."""
        return max(1, _MOST_IN_TILE // len(self.products)) if len(self.chunks) == 1 else 1


def plan(cell: Cell) -> Plan | Staged:
    """Trace a cell and plan its kernel.  Raises Unsupported with the reason when no kernel class fits."""
    from gatework.compiler.stages import stage

    traced = trace(cell)
    if not traced.pointwise:
        return stage(traced)
    places = [str(traced.operands[p.operand]) for p in traced.products]
    alternates = list(dict.fromkeys(places)) != [place for place, _ in itertools.groupby(places)] or places != sorted(
        places
    )
    if alternates or len({(p.key, p.name) for p in traced.products}) < len(traced.products):
        return stage(trace(cell, pointwise=False))  # the pointwise kernels take states in order and every matrix once
    return _pointwise(traced)


def _pointwise(traced: Traced) -> Plan:
    cell, gradients = traced.cell, traced.gradients
    extras = tuple(d for _, _, d in cell.entries(Extra))
    noises = tuple(d for _, _, d in cell.entries(Noise))
    products = tuple(replace(p, operand=traced.operands[p.operand][1]) for p in traced.products)  # type: ignore[index]

    def named(value: Value) -> Value:
        kind, k = value
        return ("more", k + (len(extras) if kind == "noise" else 0)) if kind in ("extra", "noise") else value

    def of(kind: str) -> tuple[Node, ...]:
        return tuple(node for (k, _), node in gradients.items() if k == kind)

    values = {node: named(value) for node, value in traced.leaves.items()}
    d_gates, d_sums, d_states, d_vectors, d_extras = (of(k) for k in ("gate", "sum", "old", "vector", "extra"))
    given = {node: value for node, value in values.items() if value[0] in ("old", "vector", "more", "raw", "d_new")}
    given |= {node: ("new", k) for k, node in enumerate(traced.new) if node not in values}
    hidden = [node for node, (kind, _) in values.items() if kind in ("gate", "sum")]
    d_raw = of("raw") if any(is_read(node) for node, (kind, _) in values.items() if kind == "raw") else ()
    wanted = (*d_gates, *d_states, *d_vectors, *d_sums, *d_extras, *d_raw)
    saved = cheapest_cut(traced, hidden, set(given), wanted)
    diagonal = "S" if is_linear(values, traced.new) else "D"
    return Plan(
        kind=("M1t" if extras or noises else "M1") if products else diagonal,
        same=traced.sizes.same,
        cell=cell,
        products=products,
        hoisted=traced.hoisted,
        vectors=traced.vectors,
        extras=extras,
        noises=noises,
        graph=traced.graph,
        leaves={node: value for node, value in values.items() if value[0] != "d_new"},
        new=traced.new,
        saved=tuple(saved),
        given=given | {node: ("saved", k) for k, node in enumerate(saved)},
        slots=_slots(d_gates, d_sums, products),
        d_states=d_states,
        d_vectors=d_vectors,
        d_extras=d_extras,
        d_raw=d_raw,
        scanned=None if products else scanned(values, traced.new),
    )


def _slots(d_gates: Sequence[Node], d_sums: Sequence[Node], products: tuple[Product, ...]) -> tuple[Slot, ...]:
    """Gates first, then shared ones, then products, so that both groups stand side by side in memory."""
    products_of: dict[Node, list[int]] = {}
    if len({p.operand for p in products}) == 1:  # shared slots would break up the groups of several operands
        for k, node in enumerate(d_sums):
            products_of.setdefault(node, []).append(k)
    own, shared, taken = [], [], set()
    for gate, node in enumerate(d_gates):
        if products_of.get(node):
            product = products_of[node].pop(0)
            taken.add(product)
            shared.append(Slot(node, gate, product))
        else:
            own.append(Slot(node, gate, None))
    return (*own, *shared, *(Slot(node, None, k) for k, node in enumerate(d_sums) if k not in taken))


def cheapest_cut(traced: Traced, hidden: Iterable[Node], free: set[Node], gradients: Iterable[Node]) -> list[Node]:
    """The forward values, fewest numbers in all, that let backward do without `hidden` ones; near to their use.

    Backward has the `free` values anyway. A minimum cut over the forward part of the graph, each node of the capacity
    of its row.
    """
    import networkx

    graph, hidden = traced.graph, list(hidden)
    tangent = descendants(graph, [n for n, (kind, _) in traced.leaves.items() if kind.startswith("d_")])
    needed = {a for n in tangent if n.op != "output" for a in operands(n) if a not in tangent} - free
    needed |= {n for n in gradients if n not in tangent and n not in free}
    flow = networkx.DiGraph()
    flow.add_nodes_from(("use", "source"))
    blocked = descendants(graph, hidden)
    for node in graph.nodes:
        if node in tangent or node.op == "output" or node in free or node not in blocked:
            continue
        flow.add_edge((node, "before"), (node, "after"), capacity=size_of(node))
        if node in hidden:
            flow.add_edge("source", (node, "before"))
        for argument in operands(node):
            if argument in blocked and argument not in free:
                flow.add_edge((argument, "after"), (node, "before"))
        if node in needed:
            flow.add_edge((node, "after"), "use")
    _, (_, near) = networkx.minimum_cut(flow, "source", "use")  # networkx returns the cut nearest to its target
    return [n for n in graph.nodes if (n, "after") in near and (n, "before") not in near]


def describe(node: Node) -> str:
    """One line of a graph, for people."""
    if node.op == "placeholder":
        return node.name
    return f"{node.name} = {op_name(node)}({', '.join(str(a) for a in node.args)})"
