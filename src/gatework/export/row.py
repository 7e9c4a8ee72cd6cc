"""Operations over the units of a row, and products, in ONNX."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.fx import Node

from gatework.compiler.graph import Unsupported
from gatework.export.operation import Operation, Rule, each


def _axes(op: Operation, k: int = 1, name: str = "dim") -> str:
    axes = op.arg(k, name)
    axes = range(op.rank()) if axes is None or axes == [] else axes
    return op.writer.ints(*(axes if isinstance(axes, Sequence | range) else [axes]))


def _reduced(kind: str) -> Rule:
    def rule(op: Operation) -> str:
        keep = op.arg(2, "keepdim", False)
        return op.write(kind, op.tensor(0), _axes(op), keepdims=int(bool(keep)))

    return rule


def _any(op: Operation) -> str:
    whole = op.tensor(0, torch.int32)
    keep = int(bool(op.arg(2, "keepdim", False)))
    kind = "ReduceMax" if "any" in str(op.node.target) else "ReduceMin"
    return op.writer.cast(op.write(kind, whole, _axes(op), keepdims=keep), torch.bool)


def _var(op: Operation) -> str:
    x, axes = op.tensor(0), _axes(op)
    source = op.node.args[0]
    assert isinstance(source, Node)
    dims = op.arg(1, "dim")
    shape = source.meta["val"].shape
    count = math.prod(shape[d] for d in (range(len(shape)) if dims is None else dims))
    correction = op.arg(9, "correction", 1)  # only ever by name
    spread = op.write("Sub", x, op.write("ReduceMean", x, axes, keepdims=1))
    keep = int(bool(op.arg(9, "keepdim", False)))
    mean = op.write("ReduceMean", op.write("Mul", spread, spread), axes, keepdims=keep)
    return op.write("Mul", mean, op.number(count / (count - (1 if correction is None else correction))))


def _layer_norm(op: Operation) -> list[str]:
    if op.arg(1) is not None and len(op.arg(1)) != 1:
        raise Unsupported("layer_norm over more than the last axis is not written to ONNX.")
    weight, bias = op.arg(2), op.arg(3)
    width = int(op.arg(1)[0])
    scale = op.names[weight] if weight is not None else op.writer.constant(torch.ones(width, dtype=op.dtype))
    inputs = [op.tensor(0), scale, *([op.names[bias]] if bias is not None else [])]
    return [op.write("LayerNormalization", *inputs, axis=-1, epsilon=float(op.arg(4))), "", ""]


def _cumsum(op: Operation) -> str:
    return op.write("CumSum", op.tensor(0), op.writer.constant(torch.tensor(op.arg(1))))


def _softmax(kind: str) -> Rule:
    return lambda op: op.write(kind, op.tensor(0), axis=int(op.arg(1)))


def _norm(op: Operation) -> str:
    order = op.arg(1, "ord", 2)
    if order not in (1, 2):
        raise Unsupported(f"a norm of order {order} is not written to ONNX; only 1 and 2.")
    keep = int(bool(op.arg(3, "keepdim", False)))
    return op.write(f"ReduceL{order}", op.tensor(0), _axes(op, 2), keepdims=keep)


def _topk(op: Operation) -> list[str]:
    largest, in_order = op.arg(3, "largest", True), op.arg(4, "sorted", True)
    count = op.writer.ints(int(op.arg(1)))
    return _ranked(op, count, int(op.arg(2, "dim", -1)), bool(largest), bool(in_order))


def _sort(op: Operation) -> list[str]:
    axis = int(op.arg(1, "dim", -1))
    source = op.node.args[0]
    assert isinstance(source, Node)
    count = op.writer.ints(int(source.meta["val"].shape[axis]))
    return _ranked(op, count, axis, bool(op.arg(2, "descending", False)), True)


def _extreme(kind: str) -> Rule:
    """The largest or smallest along an axis, and its place."""

    def rule(op: Operation) -> list[str]:
        axis, keep = int(op.arg(1, "dim")), int(bool(op.arg(2, "keepdim", False)))
        x = op.tensor(0, op.type_of(0))
        places = op.write(f"Arg{kind}", x, axis=axis, keepdims=keep)
        return [op.write(f"Reduce{kind}", x, op.writer.ints(axis), keepdims=keep), places]

    return rule


def _ranked(op: Operation, count: str, axis: int, largest: bool, in_order: bool) -> list[str]:
    to = [f"{op.node.name}_values", f"{op.node.name}_places"]
    attributes = {"axis": axis, "largest": int(largest), "sorted": int(in_order)}
    return op.writer.split("TopK", op.tensor(0, op.type_of(0)), count, to=to, **attributes)


def _addmm(op: Operation) -> str:
    product = op.write("MatMul", op.tensor(1), op.tensor(2))
    for k, name in ((3, "beta"), (4, "alpha")):
        if op.arg(k, name, 1) != 1:
            raise Unsupported(f"addmm with {name} is not written to ONNX.")
    return op.write("Add", product, op.tensor(0))


ROWS: dict[str, Rule] = {
    **each("mean:ReduceMean sum:ReduceSum amax:ReduceMax amin:ReduceMin prod:ReduceProd", _reduced),
    **each("_softmax:Softmax _log_softmax:LogSoftmax", _softmax),
    **each("mm:MatMul bmm:MatMul matmul:MatMul", lambda kind: lambda op: op.write(kind, op.tensor(0), op.tensor(1))),
    "addmm": _addmm,
    "any": _any,
    "all": _any,
    "var": _var,
    "native_layer_norm": _layer_norm,
    "cumsum": _cumsum,
    "linalg_vector_norm": _norm,
    "topk": _topk,
    "sort": _sort,
    **each("max:Max min:Min", _extreme),
}
