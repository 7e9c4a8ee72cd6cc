"""Cells without a product in the time loop: which states are carried on, and whether the step is linear in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gatework.compiler.graph import descendants, op_name, operands

if TYPE_CHECKING:
    from torch.fx import Graph, Node

    from gatework.compiler.trace import Value

# Operations that give a linear function of a state for linear operands, or a product or quotient with what is none.
_SUMS = {"add", "sub", "rsub", "neg", "_to_copy"}


def carried(leaves: dict[Node, Value], new: Sequence[Node]) -> tuple[int, ...]:
    """The states whose old value some new state depends on; the others are mere outputs.

    Args:
        leaves: what the graph of a step is given; `("old", k)` is state k.
        new: its new states.
    """
    graph = new[0].graph
    return tuple(
        k for node, (kind, k) in leaves.items() if kind == "old" and not descendants(graph, [node]).isdisjoint(new)
    )


def is_linear(leaves: dict[Node, Value], new: Sequence[Node]) -> bool:
    """Whether every carried state's new value is linear in the carried ones (plus a term without them), as in a scan.

    Its derivative then depends on no state.  The operations on the way are tested, so that a rounded state, whose
    derivative is 0, does not count as linear.
    """
    states = [node for node, (kind, _) in leaves.items() if kind == "old"]
    degrees = _degrees(new[0].graph, states)
    return all(degrees[new[k]] <= 1 for k in carried(leaves, new))


def _degrees(graph: Graph, states: Sequence[Node]) -> dict[Node, int]:
    """Of each node: 0 without the states, 1 linear in them, 2 otherwise."""
    found: dict[Node, int] = dict.fromkeys(states, 1)
    for node in graph.nodes:
        if node in found:
            continue
        inner = [found[a] for a in operands(node)]
        name, most = op_name(node), max(inner, default=0)
        if name == "mul":
            most = sum(found[a] for a in node.args if a in found)  # a square counts twice
        elif most and not (
            name in _SUMS
            or (name == "div" and found.get(node.args[1], 0) == 0)
            or (name == "where" and found[node.args[0]] == 0)
        ):
            most = 2
        found[node] = min(most, 2)
    return found


def scanned(leaves: dict[Node, Value], new: Sequence[Node]) -> int | None:
    """The one state that a linear step carries, whose chunks of time can be joined; None for none or several."""
    states = carried(leaves, new)
    return states[0] if len(states) == 1 and is_linear(leaves, new) else None


def other_cotangents(leaves: dict[Node, Value], state: int) -> set[Node]:
    """What of the backward graph comes from the gradients of other new states alone, and so is zero without them."""
    (own,) = (node for node, value in leaves.items() if value == ("d_new", state))
    others = [node for node, (kind, k) in leaves.items() if kind == "d_new" and k != state]
    return descendants(own.graph, others) - descendants(own.graph, [own])
