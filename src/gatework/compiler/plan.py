"""What a kernel has to do, decided once for each cell: what forward saves, where gradients lie."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gatework.cells.cell import Cell
from gatework.compiler.trace import Product, Unsupported, op_name, operands, trace

if TYPE_CHECKING:
    from torch.fx import Graph, Node

Value = tuple[str, int]
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
        kind: the kernel class; "M1" is one grouped product on old states, then pointwise.
        products, vectors, graph: as traced.
        leaves: what forward is given: "gate", "old", "vector" and "sum" values.
        new: the new states.
        saved: forward values that are written for backward.
        given: what backward is given instead of computing it: "saved", "old", "new", "vector" and "d_new" values.
        slots: the gradient buffer, gates first, products last.
        d_states, d_vectors: the remaining gradients.
    """

    kind: str
    cell: Cell
    products: tuple[Product, ...]
    vectors: tuple[tuple[str, str], ...]
    graph: Graph
    leaves: dict[Node, Value]
    new: tuple[Node, ...]
    saved: tuple[Node, ...]
    given: dict[Node, Value]
    slots: tuple[Slot, ...]
    d_states: tuple[Node, ...]
    d_vectors: tuple[Node, ...]

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


def plan(cell: Cell) -> Plan:
    """Trace a cell and plan its kernel.  Raises Unsupported with the reason when no kernel class fits."""
    traced = trace(cell)
    if not traced.products:
        raise Unsupported("no recurrent product in the step (a diagonal cell, classes S and D); not compiled so far.")
    if any(a.operand > b.operand for a, b in itertools.pairwise(traced.products)):
        raise Unsupported("products on different states alternate; apply the matrices state by state.")
    n_gates, n_states, n_vectors = len(cell.gate_names), len(cell.states), len(traced.vectors)
    counts = {"gate": n_gates, "old": n_states, "vector": n_vectors, "sum": len(traced.products), "d_new": n_states}
    kinds = [(kind, k) for kind, n in counts.items() for k in range(n)]
    values = dict(zip((n for n in traced.graph.nodes if n.op == "placeholder"), kinds, strict=True))
    results = iter(_results(traced.graph))
    new, d_gates, d_states, d_vectors, d_sums = (
        tuple(itertools.islice(results, n)) for n in (n_states, n_gates, n_states, n_vectors, len(traced.products))
    )
    given = {node: value for node, value in values.items() if value[0] in ("old", "vector", "d_new")}
    given |= {node: ("new", k) for k, node in enumerate(new) if node not in values}
    hidden = [node for node, (kind, _) in values.items() if kind in ("gate", "sum")]
    cotangents = [node for node, (kind, _) in values.items() if kind == "d_new"]
    saved = _cheapest_cut(traced.graph, hidden, cotangents, given, (*d_gates, *d_states, *d_vectors, *d_sums))
    return Plan(
        kind="M1",
        cell=cell,
        products=traced.products,
        vectors=traced.vectors,
        graph=traced.graph,
        leaves={node: value for node, value in values.items() if value[0] != "d_new"},
        new=new,
        saved=tuple(saved),
        given=given | {node: ("saved", k) for k, node in enumerate(saved)},
        slots=_slots(d_gates, d_sums, traced.products),
        d_states=d_states,
        d_vectors=d_vectors,
    )


def _results(graph: Graph) -> list[Node]:
    (output,) = (n for n in graph.nodes if n.op == "output")
    args = output.args[0]
    return [args] if not isinstance(args, tuple | list) else list(args)


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


def _descendants(graph: Graph, roots: Iterable[Node]) -> set[Node]:
    found = set(roots)
    for node in graph.nodes:
        if any(a in found for a in operands(node)):
            found.add(node)
    return found


def _cheapest_cut(
    graph: Graph, hidden: list[Node], cotangents: list[Node], free: dict[Node, Value], gradients: Sequence[Node]
) -> list[Node]:
    """The fewest forward values that let backward do without `hidden` ones, as near to their use as possible.

    Backward has the `free` values anyway. A minimum cut over the forward part of the graph, every node of capacity 1.
    """
    import networkx

    tangent = _descendants(graph, cotangents)
    needed = {a for n in tangent if n.op != "output" for a in operands(n) if a not in tangent} - set(free)
    needed |= {n for n in gradients if n not in tangent and n not in free}
    flow = networkx.DiGraph()
    flow.add_nodes_from(("use", "source"))
    blocked = _descendants(graph, hidden)
    for node in graph.nodes:
        if node in tangent or node.op == "output" or node in free or node not in blocked:
            continue
        flow.add_edge((node, "before"), (node, "after"), capacity=1)
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
