"""Operations that cut, join and rearrange values, or fill them with one number, in ONNX."""

from __future__ import annotations

from collections.abc import Callable

import torch

from gatework.compiler.graph import Unsupported
from gatework.export.operation import Operation, Rule


def _reshape(op: Operation) -> str:
    return op.write("Reshape", op.tensor(0), op.sizes(True))


def _permute(op: Operation) -> str:
    return op.write("Transpose", op.tensor(0), perm=[int(d) % op.rank() for d in op.arg(1)])


def _transpose(op: Operation) -> str:
    order = list(range(op.rank()))
    if order:
        a, b = (order[int(op.arg(k, default=k - 1))] for k in (1, 2))
        order[a], order[b] = order[b], order[a]
    return op.write("Transpose", op.tensor(0), perm=order)


def _expand(op: Operation) -> str:
    return op.write("Expand", op.tensor(0), op.sizes(False))


def _filled(value: Callable[[Operation], float]) -> Rule:
    """A tensor of one number: of the batch's size where it has that axis."""
    return lambda op: op.write("Expand", op.number(value(op)), op.sizes(False))


def _cat(op: Operation) -> str:
    parts = op.arg(0)
    names = [op.names[p] if p.meta["val"].dtype == op.dtype else op.writer.cast(op.names[p], op.dtype) for p in parts]
    return op.write("Concat", *names, axis=int(op.arg(1, "dim", 0)))


def _slice(op: Operation) -> str:
    axis, start, end, step = (op.arg(k, name, d) for k, name, d in _SLICE)
    return _cut(op, op.tensor(0), axis, start or 0, _END if end is None else min(end, _END), step)


_END = 2**62  # larger than any axis
_SLICE = ((1, "dim", 0), (2, "start", 0), (3, "end", None), (4, "step", 1))


def _select(op: Operation) -> str:
    return op.write("Gather", op.tensor(0), op.writer.constant(torch.tensor(op.arg(2))), axis=int(op.arg(1)))


def _gather_constant(op: Operation) -> str:
    return op.write("Gather", op.tensor(0), op.names[op.arg(2)], axis=int(op.arg(1)))


def _split(op: Operation) -> list[str]:
    axis = int(op.arg(2, "dim", 0))
    parts = op.writer.ints(*(int(shape[axis]) for shape in op.shape))
    names = [f"{op.node.name}_{k}" for k in range(len(op.shape))]
    return op.writer.split("Split", op.tensor(0), parts, to=names, axis=axis)


def _flip(op: Operation) -> str:
    axes = op.arg(1)
    ends = (op.writer.ints(*[value] * len(axes)) for value in (-1, -_END))
    return op.write("Slice", op.tensor(0), *ends, op.writer.ints(*axes), op.writer.ints(*[-1] * len(axes)))


def _repeat(op: Operation) -> str:
    return op.write("Tile", op.tensor(0), op.writer.ints(*op.arg(1)))


def _indexed(op: Operation) -> str:
    """`v[:, index]` with an index that is known."""
    places = [k for k, index in enumerate(op.arg(1)) if index is not None]
    index = op.arg(1)[places[0]]
    if len(places) > 1 or index.meta["val"].dtype == torch.bool:
        raise Unsupported("indexing by a mask or by several indices is not written to ONNX; use torch.where.")
    return op.write("Gather", op.tensor(0), op.names[index], axis=places[0])


def _padded(op: Operation) -> str:
    ends = op.arg(1)  # last axis first: before, after
    before, after = ([0] * op.rank() for _ in range(2))
    for k in range(len(ends) // 2):
        before[-1 - k], after[-1 - k] = int(ends[2 * k]), int(ends[2 * k + 1])
    return op.write("Pad", op.tensor(0), op.writer.ints(*before, *after), op.number(op.arg(2, "value", 0)))


def _slice_scatter(op: Operation) -> str:
    """A value with one stretch of an axis replaced."""
    axis, start, end, step = (op.arg(k + 1, name, default) for k, name, default in _SLICE)
    size = int(op.node.meta["val"].shape[axis])
    start, end = (min(max(v + size if v < 0 else v, 0), size) for v in (start or 0, size if end is None else end))
    if step != 1:
        raise Unsupported("assigning to every n-th unit is not written to ONNX; use torch.where or torch.cat.")
    parts = [op.tensor(1)]
    if start > 0:
        parts.insert(0, _cut(op, op.tensor(0), axis, 0, start))
    if end < size:
        parts.append(_cut(op, op.tensor(0), axis, end, size))
    return op.write("Concat", *parts, axis=axis)


def _cut(op: Operation, value: str, axis: int, start: int, end: int, step: int = 1) -> str:
    return op.write("Slice", value, *(op.writer.ints(v) for v in (start, end, axis, step)))


def _copied(op: Operation) -> str:
    return op.write("Expand", op.tensor(1), op.sizes(False))


LAYOUT: dict[str, Rule] = {
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "squeeze", "unsqueeze"), _reshape),
    "permute": _permute,
    "t": _transpose,
    "transpose": _transpose,
    "expand": _expand,
    "repeat": _repeat,
    "cat": _cat,
    "slice": _slice,
    "slice_scatter": _slice_scatter,
    "copy": _copied,
    "select": _select,
    "index_select": _gather_constant,
    "index": _indexed,
    "constant_pad_nd": _padded,
    "split_with_sizes": _split,
    "split": _split,
    "flip": _flip,
    "full": _filled(lambda op: op.arg(1)),
    "full_like": _filled(lambda op: op.arg(1)),
    "new_full": _filled(lambda op: op.arg(2)),
    "zeros_like": _filled(lambda op: 0),
    "new_zeros": _filled(lambda op: 0),
    "ones_like": _filled(lambda op: 1),
    "new_ones": _filled(lambda op: 1),
    "scalar_tensor": _filled(lambda op: op.arg(0)),
}
