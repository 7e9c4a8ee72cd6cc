"""The graph of a step in one small set of operations: pointwise work on rows, and operations over a row.

A value is a row of numbers for each sequence, `size` of them in memory; groups (heads, chunks) are equal parts of a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gatework.compiler.sizes import BATCH, Sizes
from gatework.errors import CellError

if TYPE_CHECKING:
    from torch.fx import Graph, Node


class Unsupported(CellError):
    """A step that the compiler cannot take; the message says which operation and why."""


CONSTANTS = {"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "zeros", "ones"}
CONSTANTS |= {"full", "scalar_tensor", "_efficientzerotensor", "empty_permuted", "empty_like", "empty"}
# What a backend has a form for, although PyTorch could take it apart.
_WHOLE = {
    "sigmoid_backward",
    "tanh_backward",
    "threshold_backward",
    "hardtanh_backward",
    "softplus_backward",
    "softplus",
}
_WHOLE |= {"where", "clamp_min", "clamp_max", "rsub", "sgn", "silu"} | CONSTANTS
_SAME = {"alias", "clone", "detach", "contiguous", "lift_fresh_copy", "positive"}
_VIEWS = {"view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "expand", "_reshape_alias"}

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


def _marker(name: str) -> Callable[..., Any]:
    def mark(*operands: Any) -> Any:
        raise TypeError(f"{name} stands for an operation in a graph and is not called")

    mark.__name__ = mark.__qualname__ = name
    return mark


_MARKERS = {name: _marker(name) for name in ROW_OPERATIONS}


def op_name(node: Node) -> str:
    """The ATen name of a call, such as `mul`, or that of an operation over a row; the empty string for other nodes."""
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target.overloadpacket.__name__
    return node.target.__name__ if node.op == "call_function" and callable(node.target) else ""


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


@cache
def decompositions() -> dict[Any, Any]:
    """PyTorch's own rules that take an operation apart into simpler ones, and a few more for operations over a row."""
    from torch._decomp import core_aten_decompositions, get_decompositions

    aten = torch.ops.aten
    rules: dict[Any, Any] = core_aten_decompositions()
    rules = {op: rule for op, rule in rules.items() if op.__name__.partition(".")[0] not in _WHOLE}
    more = [aten._log_softmax, aten.logsumexp, aten.std, aten.masked_fill, aten.slice_backward, aten.select_backward]
    rules |= get_decompositions(more)
    rules |= {
        aten._softmax.default: _softmax,
        aten.mean.dim: _mean,
        aten.var.correction: _variance,
        aten.var_mean.correction: lambda x, *a, **k: (_variance(x, *a, **k), _mean(x, a[0], k.get("keepdim", False))),
        aten.native_layer_norm.default: _layer_norm,
    }
    return rules


def _axes(x: Tensor, dims: Sequence[int] | None) -> list[int]:
    return [d % x.dim() for d in dims] if dims else list(range(x.dim()))


def _softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    e = (x - x.amax(dim, True)).exp()
    return e / e.sum(dim, True)


def _mean(x: Tensor, dim: Sequence[int], keepdim: bool = False, *, dtype: torch.dtype | None = None) -> Tensor:
    return x.sum(dim, keepdim) / prod(x.shape[d] for d in _axes(x, dim))


def _variance(
    x: Tensor, dim: Sequence[int] | None = None, *, correction: float | None = 1, keepdim: bool = False
) -> Tensor:
    axes = _axes(x, dim)
    less = 1 if correction is None else correction
    return (x - _mean(x, axes, True)).square().sum(axes, keepdim) / (prod(x.shape[d] for d in axes) - less)


def _layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    axes = list(range(x.dim() - len(shape), x.dim()))
    mean = _mean(x, axes, True)
    rstd = torch.rsqrt(_variance(x, axes, correction=0, keepdim=True) + eps)
    y = (x - mean) * rstd
    y = y if weight is None else y * weight
    return y if bias is None else y + bias, mean, rstd


def tidy(graph: Graph, sizes: Sizes) -> list[Node]:
    """Bring a traced graph into the small set, in place: no copies, no views, no equal calls; returns its results.

    Every node gets `meta["size"]`, operations over a row `meta["inner"]` and `meta["start"]`.
    Raises Unsupported with the operation that does not fit.
    """
    graph.eliminate_dead_code()
    for node in graph.nodes:
        if node.op == "get_attr":
            raise Unsupported("a tensor from outside is used in `step`; declare it with vector(...) or use a number.")
        if node.op in ("placeholder", "call_function") and not isinstance(node.meta.get("val"), list | tuple):
            node.meta["dims"] = _dims(node)
            node.meta["size"] = prod(node.meta["dims"])
    _pick_results(graph)
    for node in list(graph.nodes):
        if node.op == "call_function":
            _rewrite(graph, node)
    graph.eliminate_dead_code()
    _finish(graph)
    _merge(graph)
    (output,) = (n for n in graph.nodes if n.op == "output")
    results = output.args[0]
    return list(results) if isinstance(results, tuple | list) else [results]


def _dims(node: Node) -> tuple[int, ...]:
    """Shape of a value without its batch; () for a plain number."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        raise Unsupported(f"`{op_name(node) or node.target}` gives {type(value).__name__}, not a tensor.")
    shape = tuple(value.shape)
    if op_name(node) in CONSTANTS and (not shape or shape[0] != BATCH):
        return ()
    if not shape:
        return ()
    if shape[0] != BATCH:
        raise Unsupported(
            f"`{op_name(node) or node.name}` gives shape {shape}: the batch is not its first axis any more; only what acts "
            "on each row alone is compiled."
        )
    return shape[1:]


def _pick_results(graph: Graph) -> None:
    """Replace each pick of one of several parts by a cut."""
    for node in list(graph.nodes):
        if node.op != "call_function" or op_name(node) != "getitem":
            continue
        source, index = node.args
        name, (row, argument, *axis) = op_name(source), (*source.args, 0)[:3]
        if name not in ("split", "split_with_sizes"):
            hint = " (write amax or amin)" if name in ("max", "min") else ""
            raise Unsupported(f"`{name}` gives several values{hint}; only operations with one are compiled.")
        start = argument * index if isinstance(argument, int) else sum(argument[:index])
        with graph.inserting_before(node):
            new = _cut(graph, row, node, axis[0] if axis else 0, start)
        node.replace_all_uses_with(new)


def _new(graph: Graph, name: str, arguments: tuple[Node, ...], dims: tuple[int, ...], like: Node, **meta: int) -> Node:
    node = graph.call_function(_MARKERS[name], arguments)
    node.meta |= {"dims": dims, "size": prod(dims), "val": like.meta["val"], **meta}
    return node


def _rewrite(graph: Graph, node: Node) -> None:
    name = op_name(node)
    if name in CONSTANTS or name in ROW_OPERATIONS or name in ("getitem", "split", "split_with_sizes"):
        return
    with graph.inserting_before(node):
        if name in _SAME:
            node.replace_all_uses_with(node.args[0])
        elif name in _VIEWS:
            _rewrite_view(graph, node)
        elif name in _ROW_RULES:
            node.replace_all_uses_with(_ROW_RULES[name](graph, node))
        elif any(isinstance(argument, list | tuple) for argument in node.args):
            raise Unsupported(f"`{name}` is not compiled so far.")
        else:
            for k, argument in enumerate(node.args):
                if _is_node(argument):
                    node.update_arg(k, _broadcast(graph, node, argument))


def _is_node(value: Any) -> bool:
    return hasattr(value, "all_input_nodes")


def _rewrite_view(graph: Graph, node: Node) -> None:
    source = node.args[0]
    if source.meta["size"] == node.meta["size"]:
        return  # the same row with other groups: removed when all who look at groups have looked
    if op_name(node) != "expand":
        raise Unsupported(
            f"`{op_name(node)}` from {source.meta['dims']} to {node.meta['dims']} is not compiled so far."
        )
    if source.meta["size"] > 1:
        node.replace_all_uses_with(_broadcast(graph, node, source))


def _broadcast(graph: Graph, node: Node, argument: Node) -> Node:
    """An argument in the size of a node: itself where sizes agree or it is one number a row."""
    size, dims = argument.meta["size"], node.meta["dims"]
    if size in (1, node.meta["size"]):
        return argument
    have = (1,) * (len(dims) - len(argument.meta["dims"])) + argument.meta["dims"]
    for k in range(1, len(dims)):
        if have[:k] == dims[:k] and prod(have[k:]) == 1:
            return _new(graph, "spread", (argument,), dims, argument, inner=prod(dims[k:]))
        if have[k:] == dims[k:] and prod(have[:k]) == 1:
            return _new(graph, "repeat_row", (argument,), dims, argument, inner=size)
    raise Unsupported(f"`{op_name(node)}` combines rows of {argument.meta['dims']} and {dims}; not compiled so far.")


def _axis(node: Node, axis: int) -> int:
    """An axis of a value, counted without the batch."""
    axis %= len(node.meta["val"].shape)
    if not axis:
        raise Unsupported("an operation over the batch mixes the rows of different sequences; it is not compiled.")
    return axis - 1


def _reduction(name: str) -> Callable[[Graph, Node], Node]:
    def rule(graph: Graph, node: Node) -> Node:
        row, axes = node.args[0], (*node.args, None)[1]
        if axes is None or axes == []:
            raise Unsupported(
                f"`{op_name(node)}` over everything mixes the rows of different sequences; give its axis."
            )
        dims = row.meta["dims"]
        over = {_axis(row, a) for a in ([axes] if isinstance(axes, int) else axes)}
        first, last = min(over), max(over) + 1
        size, inner = row.meta["size"], prod(dims[first:last])
        if inner == 1:
            return row  # type: ignore[no-any-return]
        if all(d == 1 or k in over for k, d in enumerate(dims[first:], first)):
            return _new(graph, name, (row,), node.meta["dims"], node, inner=inner)
        if name == "row_sum" and all(d == 1 or k in over for k, d in enumerate(dims[:last])):
            return _new(graph, "fold", (row,), node.meta["dims"], node, inner=size // inner)
        raise Unsupported(
            f"`{op_name(node)}` over axes {sorted(over)} of {dims} is not compiled so far, only over the last."
        )

    return rule


def _along(name: str) -> Callable[[Graph, Node], Node]:
    def rule(graph: Graph, node: Node) -> Node:
        row, axes = node.args[:2]
        axis = _axis(row, axes if isinstance(axes, int) else axes[0])
        dims = row.meta["dims"]
        if prod(dims[axis + 1 :]) > 1 or (not isinstance(axes, int) and len(axes) > 1):
            raise Unsupported(f"`{op_name(node)}` along an inner axis of {dims} is not compiled so far, only the last.")
        return _new(graph, name, (row,), dims, node, inner=dims[axis])

    return rule


def _cut(graph: Graph, row: Node, node: Node, axis: int, start: int | None) -> Node:
    axis, dims = _axis(row, axis), row.meta["dims"]
    if prod(dims[:axis]) > 1:
        raise Unsupported(f"a part of an inner axis of {dims} is not compiled so far; cut the outer one.")
    start = min(max((start or 0) + (dims[axis] if (start or 0) < 0 else 0), 0), dims[axis])
    if size_of(row) == size_of(node):
        return row
    return _new(graph, "cut", (row,), node.meta["dims"], node, start=start * prod(dims[axis + 1 :]))


def _slice(graph: Graph, node: Node) -> Node:
    row, axis, start, _, step = (*node.args, *(0, None, None, 1)[len(node.args) - 1 :])
    if step != 1:
        raise Unsupported("a slice with a step is not compiled so far.")
    if axis == 0:
        return row  # type: ignore[no-any-return]  # v[:, ...]: all of the batch
    return _cut(graph, row, node, axis, start)


def _select(graph: Graph, node: Node) -> Node:
    return _cut(graph, node.args[0], node, node.args[1], node.args[2])


def _cat(graph: Graph, node: Node) -> Node:
    rows = list(node.args[0])
    axis = _axis(node, (*node.args, 0)[1])
    if prod(node.meta["dims"][:axis]) > 1:
        raise Unsupported(f"`cat` along an inner axis of {node.meta['dims']} is not compiled so far.")
    return _new(graph, "join", tuple(rows), node.meta["dims"], node)


def _pad(graph: Graph, node: Node) -> Node:
    row, around = node.args[:2]
    if (*node.args, 0)[2] != 0 or len(around) > 2 or prod(node.meta["dims"][:-1]) > 1 or min(around) < 0:
        raise Unsupported("`pad` is compiled only with zeros around a row.")
    return _new(graph, "pad", (row,), node.meta["dims"], node, start=around[0])


def _scatter(graph: Graph, node: Node) -> Node:
    """slice_scatter and select_scatter into zeros, as the derivatives of cuts have them."""
    base, row, axis, start = node.args[:4]
    if axis == 0:
        return row  # type: ignore[no-any-return]
    axis, dims = _axis(node, axis), node.meta["dims"]
    if op_name(base) not in CONSTANTS or prod(dims[:axis]) > 1:
        raise Unsupported(f"`{op_name(node)}` is not compiled so far.")
    start = (start or 0) + (dims[axis] if (start or 0) < 0 else 0)
    return _new(graph, "pad", (row,), dims, node, start=start * prod(dims[axis + 1 :]))


_ROW_RULES: dict[str, Callable[[Graph, Node], Node]] = {
    "sum": _reduction("row_sum"),
    "amax": _reduction("row_max"),
    "amin": _reduction("row_min"),
    "cumsum": _along("scan"),
    "flip": _along("turn_round"),
    "slice": _slice,
    "select": _select,
    "cat": _cat,
    "constant_pad_nd": _pad,
    "slice_scatter": _scatter,
    "select_scatter": _scatter,
}


def _finish(graph: Graph) -> None:
    """Remove views, and write a running sum between two reversals as one from the end."""
    for node in list(graph.nodes):
        if op_name(node) in _VIEWS and node.args[0].meta["size"] == node.meta["size"]:
            node.replace_all_uses_with(node.args[0])
    graph.eliminate_dead_code()
    for node in list(graph.nodes):
        chain = [node]
        while len(chain) < 3 and op_name(chain[-1]) in ("turn_round", "scan"):
            chain.append(chain[-1].args[0])
        inner = {n.meta.get("inner") for n in chain}
        if [op_name(n) for n in chain] == ["turn_round", "scan", "turn_round"] and len(inner) == 1:
            with graph.inserting_before(node):
                source = chain[2].args[0]
                new = _new(graph, "scan_back", (source,), node.meta["dims"], node, inner=inner.pop())
            node.replace_all_uses_with(new)
    graph.eliminate_dead_code()


def _merge(graph: Graph) -> None:
    """Make equal calls one."""
    seen: dict[Any, Any] = {}
    for node in graph.nodes:
        if node.op == "call_function":
            where = node.meta.get("inner"), node.meta.get("start"), node.meta["size"], str(node.meta["val"].dtype)
            key = (node.target, repr(node.args), repr(sorted(node.kwargs.items(), key=lambda item: item[0])), where)
            if key in seen:
                node.replace_all_uses_with(seen[key])
            else:
                seen[key] = node
    graph.eliminate_dead_code()


class Formula(float):
    """A number that depends on the sizes: its value in the trace, and `text`, C++ of H and I."""

    text: str


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
        raise Unsupported("`step` calls other operations when the sizes change; that is not compiled.")
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
                raise Unsupported(f"`{op_name(node)}` has a size that is no simple multiple of H or I.")
        for k, (a, b) in enumerate(zip(node.args, twin.args, strict=True)):
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
    raise Unsupported(f"a number of the step, {a}, depends on the sizes in a way that is not compiled.")


def descendants(graph: Graph, roots: Iterable[Node]) -> set[Node]:
    """The roots and all that is computed from them."""
    found = set(roots)
    for node in graph.nodes:
        if any(a in found for a in operands(node)):
            found.add(node)
    return found
