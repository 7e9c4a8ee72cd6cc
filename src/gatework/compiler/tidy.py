"""A traced graph brought into one small set of operations: pointwise work on rows, and operations over a row."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gatework.compiler.graph import CONSTANTS, ROW_OPERATIONS, Unsupported, arguments, op_name, size_of
from gatework.compiler.sizes import BATCH, Sizes

if TYPE_CHECKING:
    from torch.fx import Graph, Node

_SAME = {"alias", "clone", "detach", "contiguous", "lift_fresh_copy", "positive"}
_VIEWS = {"view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "expand", "_reshape_alias"}


def _marker(name: str) -> Callable[..., Any]:
    def mark(*operands: Any) -> Any:
        raise TypeError(f"{name} stands for an operation in a graph and is not called")

    mark.__name__ = mark.__qualname__ = name
    return mark


_MARKERS = {name: _marker(name) for name in ROW_OPERATIONS}


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
    results = arguments(output)[0]
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
            f"`{op_name(node) or node.name}` gives shape {shape}: the batch is not its first axis any more; "
            "only what acts on each row alone is compiled."
        )
    return shape[1:]


def _pick_results(graph: Graph) -> None:
    """Replace each pick of one of several parts by a cut."""
    for node in list(graph.nodes):
        if node.op != "call_function" or op_name(node) != "getitem":
            continue
        source, index = arguments(node)
        name, (row, argument, *axis) = op_name(source), (*arguments(source), 0)[:3]
        if name not in ("split", "split_with_sizes"):
            hint = " (write amax or amin)" if name in ("max", "min") else ""
            raise Unsupported(f"`{name}` gives several values{hint}; only operations with one are compiled.")
        start = argument * index if isinstance(argument, int) else sum(argument[:index])
        with graph.inserting_before(node):
            new = _cut(graph, row, node, axis[0] if axis else 0, start)
        node.replace_all_uses_with(new)


def _as_numbers(graph: Graph, row: Node) -> Node:
    """A comparison as ones and zeros, which rows in memory are made of."""
    if row.meta["val"].dtype != torch.bool:
        return row
    value = row.meta["val"].float()
    node = graph.call_function(torch.ops.aten._to_copy.default, (row,), {"dtype": torch.float32})
    node.meta |= {"dims": row.meta["dims"], "size": row.meta["size"], "val": value}
    return node


def _new(graph: Graph, name: str, arguments: tuple[Node, ...], dims: tuple[int, ...], like: Node, **meta: int) -> Node:
    node = graph.call_function(_MARKERS[name], tuple(_as_numbers(graph, row) for row in arguments))
    node.meta |= {"dims": dims, "size": prod(dims), "val": like.meta["val"], **meta}
    return node


def _rewrite(graph: Graph, node: Node) -> None:
    name = op_name(node)
    if name in CONSTANTS or name in ROW_OPERATIONS or name in ("getitem", "split", "split_with_sizes"):
        return
    with graph.inserting_before(node):
        if name in _SAME:
            node.replace_all_uses_with(arguments(node)[0])
        elif name in _VIEWS:
            _rewrite_view(graph, node)
        elif name in _ROW_RULES:
            node.replace_all_uses_with(_ROW_RULES[name](graph, node))
        elif any(isinstance(argument, list | tuple) for argument in arguments(node)):
            raise Unsupported(f"`{name}` is not compiled so far.")
        else:
            for k, argument in enumerate(arguments(node)):
                if _is_node(argument):
                    node.update_arg(k, _broadcast(graph, node, argument))


def _node(value: Any) -> Node:
    return value  # type: ignore[no-any-return]


def _is_node(value: Any) -> bool:
    return hasattr(value, "all_input_nodes")


def _rewrite_view(graph: Graph, node: Node) -> None:
    source = arguments(node)[0]
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
        row, axes = arguments(node)[0], (*arguments(node), None)[1]
        if axes is None or axes == []:
            raise Unsupported(
                f"`{op_name(node)}` over everything mixes the rows of different sequences; give its axis."
            )
        dims = row.meta["dims"]
        over = {_axis(row, a) for a in ([axes] if isinstance(axes, int) else axes)}
        first, last = min(over), max(over) + 1
        size, inner = row.meta["size"], prod(dims[first:last])
        if inner == 1:
            return _node(row)
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
        row, axes = arguments(node)[:2]
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
    given: list[Any] = [*arguments(node), *(0, None, None, 1)[len(arguments(node)) - 1 :]]
    row, axis, start, step = given[0], given[1], given[2], given[4]
    if step != 1:
        raise Unsupported("a slice with a step is not compiled so far.")
    if axis == 0:
        return _node(row)  # v[:, ...]: all of the batch
    return _cut(graph, row, node, axis, start)


def _select(graph: Graph, node: Node) -> Node:
    return _cut(graph, arguments(node)[0], node, arguments(node)[1], arguments(node)[2])


def _cat(graph: Graph, node: Node) -> Node:
    rows: list[Node] = list(arguments(node)[0])
    dims = node.meta["dims"]
    if prod(dims[: _axis(node, (*arguments(node), 0)[1])]) > 1:
        raise Unsupported(f"`cat` along an inner axis of {dims} is not compiled so far.")
    if not any(op_name(row) in CONSTANTS for row in rows):
        return _new(graph, "join", tuple(rows), dims, node)
    start, parts = 0, []
    for row in rows:  # zeros beside it, as the derivative of a cut has them
        if op_name(row) not in CONSTANTS:
            parts.append(_new(graph, "pad", (row,), dims, node, start=start))
        elif "zero" not in op_name(row):
            raise Unsupported("`cat` with a constant that is not zero is not compiled so far.")
        start += prod(row.meta["val"].shape[1:])
    total = parts[0]
    for part in parts[1:]:
        total = graph.call_function(torch.ops.aten.add.Tensor, (total, part))
        total.meta |= {"dims": dims, "size": prod(dims), "val": node.meta["val"]}
    return total


def _pad(graph: Graph, node: Node) -> Node:
    row, around = arguments(node)[:2]
    if (*arguments(node), 0)[2] != 0 or len(around) > 2 or prod(node.meta["dims"][:-1]) > 1 or min(around) < 0:
        raise Unsupported("`pad` is compiled only with zeros around a row.")
    return _new(graph, "pad", (row,), node.meta["dims"], node, start=around[0])


def _scatter(graph: Graph, node: Node) -> Node:
    """slice_scatter and select_scatter into zeros, as the derivatives of cuts have them."""
    base, row, axis, start = arguments(node)[:4]
    if axis == 0:
        return _node(row)
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
        if op_name(node) in _VIEWS and arguments(node)[0].meta["size"] == node.meta["size"]:
            node.replace_all_uses_with(arguments(node)[0])
    graph.eliminate_dead_code()
    for node in list(graph.nodes):
        chain = [node]
        while len(chain) < 3 and op_name(chain[-1]) in ("turn_round", "scan"):
            chain.append(arguments(chain[-1])[0])
        inner = {n.meta.get("inner") for n in chain}
        if [op_name(n) for n in chain] == ["turn_round", "scan", "turn_round"] and len(inner) == 1:
            with graph.inserting_before(node):
                source = arguments(chain[2])[0]
                new = _new(graph, "scan_back", (source,), node.meta["dims"], node, inner=inner.pop())
            node.replace_all_uses_with(new)
    graph.eliminate_dead_code()


def _merge(graph: Graph) -> None:
    """Make equal calls one."""
    seen: dict[Any, Any] = {}
    for node in graph.nodes:
        if node.op == "call_function":
            where = node.meta.get("inner"), node.meta.get("start"), node.meta["size"], str(node.meta["val"].dtype)
            key = (
                node.target,
                repr(arguments(node)),
                repr(sorted(node.kwargs.items(), key=lambda item: item[0])),
                where,
            )
            if key in seen:
                node.replace_all_uses_with(seen[key])
            else:
                seen[key] = node
    graph.eliminate_dead_code()
