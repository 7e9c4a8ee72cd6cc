"""Numbers of a graph that come from a size, such as the n of a mean, told by a trace with other sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gatework.compiler.graph import Formula, UnclearSize, arguments, op_name
from gatework.compiler.sizes import Sizes

if TYPE_CHECKING:
    from torch.fx import Graph

# What a number in a graph may be of a size n: as C++ and as Python.
_OF_SIZE: tuple[tuple[str, Callable[[float], float]], ...] = (
    ("({n})", lambda n: n),
    ("1.0 / ({n})", lambda n: 1 / n),
    ("({n} - 1)", lambda n: n - 1),
    ("1.0 / ({n} - 1)", lambda n: 1 / (n - 1)),
    ("std::sqrt((double)({n}))", lambda n: n**0.5),
    ("1 / std::sqrt((double)({n}))", lambda n: n**-0.5),
    ("2.0 / ({n})", lambda n: 2 / n),
    ("2.0 / ({n} - 1)", lambda n: 2 / (n - 1)),
    ("std::log((double)({n}))", math.log),
)


def give_numbers_formulas(graph: Graph, sizes: Sizes, other: Graph, other_sizes: Sizes) -> None:
    """Replace the numbers that come from a size (the n of a mean) by `Formula`s, told by a trace of other sizes.

    Raises Unsupported when the step does something else at another size.
    """
    nodes, others = list(graph.nodes), list(other.nodes)
    if [op_name(n) for n in nodes] != [op_name(n) for n in others]:
        raise UnclearSize("`step` calls other operations when the sizes change; that is not compiled.")
    seen = {
        (n.meta[key], o.meta[key])
        for n, o in zip(nodes, others, strict=True)
        for key in ("size", "inner")
        if key in n.meta
    }
    for node, twin in zip(nodes, others, strict=True):
        if node.op != "call_function":
            continue
        for key in ("size", "inner", "start"):
            if key in node.meta and sizes.formula(node.meta[key]) != other_sizes.formula(twin.meta[key]):
                raise UnclearSize(f"`{op_name(node)}` has a size that is no simple multiple of H or I.")
        for k, (a, b) in enumerate(zip(arguments(node), arguments(twin), strict=True)):
            if isinstance(a, int | float) and not isinstance(a, bool) and a != b:
                number = Formula(a)
                number.text = _of_size(a, b, seen, sizes)
                node.update_arg(k, number)


def _of_size(a: float, b: Any, seen: set[tuple[int, int]], sizes: Sizes) -> str:
    for n, m in sorted(seen):
        for text, function in _OF_SIZE:
            if (
                n > 1
                and m > 1
                and math.isclose(function(n), a, rel_tol=1e-9)
                and math.isclose(function(m), b, rel_tol=1e-9)
            ):
                return text.format(n=sizes.formula(n))
    raise UnclearSize(f"a number of the step, {a}, depends on the sizes in a way that is not compiled.")
