"""The plan of a step with dependent products or operations over the units: rounds of products between work on rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gatework.cells.cell import Cell
from gatework.cells.declarations import Extra, Noise
from gatework.compiler.graph import CONSTANTS, is_row_operation, op_name, operands
from gatework.compiler.plan import cheapest_cut
from gatework.compiler.trace import Product, Traced, Value

if TYPE_CHECKING:
    from torch.fx import Graph, Node


@dataclass(frozen=True)
class Stage:
    """Work on each row by itself, and the products that follow it.

    Attributes:
        nodes: the values that are computed, in order.
        passed: results that are there without computing: inputs of the step handed on, and constants.
        then: positions of the operands whose products follow (in backward: of the operands whose gradients follow).
    """

    nodes: tuple[Node, ...]
    passed: tuple[Node, ...]
    then: tuple[int, ...]


@dataclass(frozen=True)
class Staged:
    """A cell's kernel as stages, before it is written in any language.

    Attributes:
        kind: "M2" with products on values of the step, "M1r" with operations over the units, else "M1x".
        traced: the graph.
        forward, backward: the stages of a step; a backward step begins with the gradients of the new states.
        saved: forward values that are written for backward, those that products were applied to first.
        crossing, d_crossing: values of forward and of backward that a later stage of the same step reads again.
        slots: gradients of input products and of products, each written once.
    """

    kind: str
    traced: Traced
    forward: tuple[Stage, ...]
    backward: tuple[Stage, ...]
    saved: tuple[Node, ...]
    crossing: tuple[Node, ...]
    d_crossing: tuple[Node, ...]
    slots: tuple[Node, ...]
    placeholders: Mapping[Value, Node] = field(repr=False)

    @property
    def cell(self) -> Cell:
        """Whose kernel it is."""
        return self.traced.cell

    @property
    def products(self) -> tuple[Product, ...]:
        """The products in order of use; an operand is a position in `traced.operands`."""
        return self.traced.products

    @property
    def graph(self) -> Graph:
        """Forward and backward as traced."""
        return self.traced.graph

    @property
    def same(self) -> bool:
        """Whether the step works only with I = H."""
        return self.traced.sizes.same

    @property
    def extras(self) -> tuple[Extra, ...]:
        """Further inputs of each step."""
        return tuple(d for _, _, d in self.cell.entries(Extra))

    @property
    def noises(self) -> tuple[Noise, ...]:
        """Random numbers of each step."""
        return tuple(d for _, _, d in self.cell.entries(Noise))

    def gradient(self, kind: str, k: int) -> Node | None:
        """The gradient of a leaf; None where it is always zero."""
        node = self.traced.gradients[kind, k]
        return None if op_name(node) in CONSTANTS else node


def stage(traced: Traced) -> Staged:
    """Plan the stages of a traced step."""
    placeholders = {value: node for node, value in traced.leaves.items()}
    applied = [node for node, value in zip(traced.applied, traced.operands, strict=True) if value != ("raw", 0)]
    free = {
        n for n, (kind, _) in traced.leaves.items() if kind in ("vector", "extra", "noise", "raw", "d_new", "d_operand")
    }
    hidden = [n for n, (kind, _) in traced.leaves.items() if kind in ("gate", "sum", "old")]
    always = ("old", "extra")  # also where they are zero: nobody else would write it
    wanted = [
        n
        for (kind, _), n in traced.gradients.items()
        if kind in always or (kind != "noise" and op_name(n) not in CONSTANTS)
    ]
    cut = cheapest_cut(traced, hidden, free | set(applied), wanted)
    saved = (*dict.fromkeys(applied), *(n for n in cut if n not in applied))
    slots = tuple(dict.fromkeys(n for (kind, _), n in traced.gradients.items() if kind in ("gate", "sum")))

    sums_of = {o: [k for k, p in enumerate(traced.products) if p.operand == o] for o in range(len(traced.operands))}
    ahead = {placeholders["sum", k]: (traced.applied[p.operand],) for k, p in enumerate(traced.products)}
    forward = _stages(traced.graph, (*traced.new, *saved), ahead, dict(enumerate(traced.applied)), set())
    back = {
        placeholders["d_operand", o]: tuple(traced.gradients["sum", k] for k in sums) for o, sums in sums_of.items()
    }
    behind = {o: [traced.gradients["sum", k] for k in sums] for o, sums in sums_of.items()}
    backward = _stages(traced.graph, (*slots, *wanted), back, behind, {*saved, *free})
    return Staged(
        kind=_kind(traced),
        traced=traced,
        forward=forward,
        backward=backward,
        saved=saved,
        crossing=tuple(n for n in _crossing(forward) if n not in saved),
        d_crossing=_crossing(backward),
        slots=slots,
        placeholders=placeholders,
    )


def _kind(traced: Traced) -> str:
    if any(value is None or value[0] != "old" for value in traced.operands):
        return "M2"
    return "M1r" if any(is_row_operation(n) for n in traced.graph.nodes) else "M1x"


def _stages(
    graph: Graph,
    wanted: Iterable[Node],
    before: Mapping[Node, tuple[Node, ...]],
    applied: Mapping[int, Node | Sequence[Node]],
    known: set[Node],
) -> tuple[Stage, ...]:
    """Put what is wanted into stages.

    Args:
        graph: the graph.
        wanted: its nodes to compute.
        before: what must be there before the products behind a placeholder can be made.
        applied: what must be there before the products of each operand.
        known: nodes that are given.
    """
    wanted = list(wanted)
    level: dict[Node, int] = {}
    for node in _in_order(graph, before, known):
        above = before.get(node)
        if above is not None:
            level[node] = 1 + max(level[n] for n in above)
        else:
            level[node] = 0 if node in known else max((level[a] for a in operands(node)), default=0)
    order = [n for n in graph.nodes if n.op == "call_function"]
    needed: dict[Node, int] = {}  # the last stage at which a value can still be computed
    rounds = {o: max(level[n] for n in _nodes(nodes)) for o, nodes in applied.items()}
    last = max([level[n] for n in wanted] + [r + 1 for r in rounds.values()], default=0)
    for node in wanted:
        needed[node] = last
    for o, nodes in applied.items():
        for node in _nodes(nodes):
            needed[node] = min(needed.get(node, last), rounds[o])
    for node in reversed(order):
        if node in needed and node not in known:
            for argument in operands(node):
                needed[argument] = min(needed.get(argument, last), needed[node])

    def given(node: Node) -> bool:
        return node in known or node.op == "placeholder" or op_name(node) in CONSTANTS

    results = dict.fromkeys([*wanted, *(n for nodes in applied.values() for n in _nodes(nodes))])
    stages = []
    for s in range(last + 1):
        nodes = tuple(n for n in order if needed.get(n) == s and not given(n))
        passed = tuple(n for n in results if given(n) and level[n] == s)
        stages.append(Stage(nodes, passed, tuple(o for o, r in rounds.items() if r == s)))
    return tuple(stages)


def _nodes(value: Node | Sequence[Node]) -> Sequence[Node]:
    return value if isinstance(value, list | tuple) else [value]  # type: ignore[list-item]


def _in_order(graph: Graph, before: Mapping[Node, tuple[Node, ...]], known: set[Node]) -> list[Node]:
    """All nodes, each after what it needs, also through products."""
    done: dict[Node, None] = {}
    stack = [n for n in reversed(list(graph.nodes)) if n.op != "output"]
    while stack:
        node = stack[-1]
        waits = [a for a in before.get(node, () if node in known else operands(node)) if a not in done]
        if node in done or not waits:
            done[node] = None
            stack.pop()
        else:
            stack.extend(waits)
    return list(done)


def _crossing(stages: Sequence[Stage]) -> tuple[Node, ...]:
    """Values that another stage than their own reads."""
    home = {n: s for s, stage in enumerate(stages) for n in stage.nodes}
    found = {a: None for s, stage in enumerate(stages) for n in stage.nodes for a in operands(n) if home.get(a, s) != s}
    return tuple(found)
