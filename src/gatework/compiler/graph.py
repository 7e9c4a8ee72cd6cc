"""What the compiler knows of a step's graph: its small set of operations, and what each node is.

A value is a row of numbers for each sequence, `size` of them in memory; groups (heads, chunks) are equal parts of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from gatework.errors import CellError

if TYPE_CHECKING:
    from torch.fx import Graph, Node


class Unsupported(CellError):
    """A step that the compiler cannot take; the message says which operation and why."""


class UnclearSize(Unsupported):
    """A size of a step that is no formula of H and I in one trace; it may be one in a trace with other sizes."""


CONSTANTS = {"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "zeros", "ones"}
CONSTANTS |= {"full", "scalar_tensor", "_efficientzerotensor", "empty_permuted", "empty_like", "empty"}
# Operations over a row; `inner` is the length of the equal parts that a row is cut into.
ROW_OPERATIONS = {
    "row_sum": "sum of each part: size / inner numbers",
    "row_max": "greatest number of each part",
    "row_min": "least number of each part",
    "fold": "sum over the parts: inner numbers",
    "spread": "each number inner times",
    "repeat_row": "the row again and again",
    "scan": "running sum within each part",
    "scan_back": "running sum within each part, from its end",
    "turn_round": "each part in reverse order",
    "cut": "numbers from `start` on",
    "join": "rows one after the other",
    "pad": "zeros around a row, which begins at `start`",
}


def op_name(node: Node) -> str:
    """The ATen name of a call, such as `mul`, or that of an operation over a row; the empty string for other nodes."""
    if isinstance(node.target, torch._ops.OpOverload):
        return str(node.target.overloadpacket.__name__)
    return node.target.__name__ if node.op == "call_function" and callable(node.target) else ""


def arguments(node: Node) -> tuple[Any, ...]:
    """What a call is given."""
    return tuple(node.args)


def is_row_operation(node: Node) -> bool:
    """Whether a node works over the units of a row rather than on each alone."""
    return op_name(node) in ROW_OPERATIONS


def operands(node: Node) -> list[Node]:
    """The nodes whose values a node reads; none for constants in another's shape."""
    return [] if op_name(node) in CONSTANTS else node.all_input_nodes


def is_read(node: Node) -> bool:
    """Whether some operation reads a node's value, rather than its shape alone."""
    return any(user.op != "output" and op_name(user) not in CONSTANTS for user in node.users)


def size_of(node: Node) -> int:
    """Numbers in a row of a node's value, in the sizes of the trace."""
    return int(node.meta["size"])


class Formula(float):
    """A number that depends on the sizes: its value in the trace, and `text`, C++ of H and I."""

    text: str


def descendants(graph: Graph, roots: Iterable[Node]) -> set[Node]:
    """The roots and all that is computed from them."""
    found = set(roots)
    for node in graph.nodes:
        if any(a in found for a in operands(node)):
            found.add(node)
    return found
