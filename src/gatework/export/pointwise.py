"""Arithmetic on each unit alone, in ONNX."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.fx import Node

from gatework.export.operation import Operation, Rule, each


def _same(kind: str, **attributes: Any) -> Rule:
    """An ONNX node with the call's tensors as its inputs."""

    def rule(op: Operation) -> str:
        count = len([a for a in op.node.args if isinstance(a, Node | int | float)])
        return op.write(kind, *(op.tensor(k) for k in range(count)), **attributes)

    return rule


def chain(kind: str, *more: str) -> Rule:
    """Nodes of one input, in a row."""

    def rule(op: Operation) -> str:
        value = op.tensor(0)
        for name in (kind, *more):
            value = op.write(name, value)
        return value

    return rule


def _compared(kind: str) -> Rule:
    return lambda op: op.write(kind, *_operands(op))


def _operands(op: Operation) -> list[str]:
    """Two values of one dtype, to compare."""
    return [op.tensor(k, op.common_type()) for k in range(2)]


def _scaled(kind: str) -> Rule:
    """A sum or difference: alpha times the second operand."""

    def rule(op: Operation) -> str:
        second, alpha = op.tensor(1), op.arg(2, "alpha", 1)
        if alpha != 1:
            second = op.write("Mul", second, op.number(alpha))
        return op.write(kind, op.tensor(0), second)

    return rule


def _div(op: Operation) -> str:
    rounding = op.arg(2, "rounding_mode")
    value = op.write("Div", op.tensor(0), op.tensor(1))
    if rounding == "floor":
        return op.write("Floor", value)
    return _truncated(op, value) if rounding == "trunc" else value


def _truncated(op: Operation, value: str) -> str:
    return op.write("Mul", op.write("Sign", value), op.write("Floor", op.write("Abs", value)))


def _remainder(op: Operation) -> str:
    a, b = op.tensor(0), op.tensor(1)
    return op.write("Sub", a, op.write("Mul", op.write("Floor", op.write("Div", a, b)), b))


def _clamp(op: Operation) -> str:
    value = op.tensor(0)
    for kind, k, name in (("Max", 1, "min"), ("Min", 2, "max")):
        limit = op.arg(k, name)
        if limit is not None:
            bound = op.names[limit] if isinstance(limit, Node) else op.number(limit)
            value = op.write(kind, value, bound)
    return value


def _erf(op: Operation, value: str) -> str:
    """In float32, in which alone runtimes have it; the comparison that follows every export tells what that costs."""
    if op.dtype == torch.float32:
        return op.write("Erf", value)
    return op.writer.cast(op.write("Erf", op.writer.cast(value, torch.float32)), op.dtype)


def _gelu(op: Operation) -> str:
    x = op.tensor(0)
    if op.arg(1, "approximate", "none") == "tanh":
        cube = op.write("Mul", x, op.write("Mul", x, x))
        inner = op.write("Add", x, op.write("Mul", cube, op.number(0.044715)))
        share = op.write("Tanh", op.write("Mul", inner, op.number(math.sqrt(2 / math.pi))))
    else:
        share = _erf(op, op.write("Mul", x, op.number(math.sqrt(0.5))))
    return op.write("Mul", op.write("Mul", x, op.number(0.5)), op.write("Add", share, op.number(1.0)))


def _elu(op: Operation) -> str:
    x, (alpha, scale, inner) = op.tensor(0), (op.arg(k, default=1.0) for k in (1, 2, 3))
    below = op.write("Sub", op.write("Exp", op.write("Mul", x, op.number(inner))), op.number(1.0))
    below = op.write("Mul", below, op.number(alpha * scale))
    above = op.write("Mul", x, op.number(scale))
    return op.write("Where", op.write("Greater", x, op.number(0.0)), above, below)


def _leaky(op: Operation) -> str:
    return op.write("LeakyRelu", op.tensor(0), alpha=float(op.arg(1, "negative_slope", 0.01)))


def _hardtanh(op: Operation) -> str:
    low, high = op.arg(1, "min_val", -1.0), op.arg(2, "max_val", 1.0)
    return op.write("Clip", op.tensor(0), op.number(low), op.number(high))


def _where(op: Operation) -> str:
    return op.write("Where", op.tensor(0, torch.bool), op.tensor(1), op.tensor(2))


def _copy(op: Operation) -> str:
    return op.tensor(0)


def _boolean(kind: str, otherwise: Rule) -> Rule:
    """Sums and products of truth values are "or" and "and"."""
    return lambda op: _same(kind)(op) if op.dtype == torch.bool else otherwise(op)


POINTWISE: dict[str, Rule] = {
    **each(
        "sigmoid:Sigmoid tanh:Tanh exp:Exp log:Log relu:Relu neg:Neg abs:Abs sqrt:Sqrt sin:Sin cos:Cos tan:Tan "
        "asin:Asin acos:Acos atan:Atan sinh:Sinh cosh:Cosh asinh:Asinh acosh:Acosh atanh:Atanh floor:Floor ceil:Ceil "
        "round:Round sign:Sign sgn:Sign reciprocal:Reciprocal",
        chain,
    ),
    **each("isnan:IsNaN isinf:IsInf", lambda kind: lambda op: op.write(kind, op.tensor(0, op.type_of(0)))),
    **each("logical_not:Not bitwise_not:Not", lambda kind: lambda op: op.write(kind, op.tensor(0, torch.bool))),
    **each("pow:Pow minimum:Min maximum:Max", _same),
    **each("logical_and:And logical_or:Or logical_xor:Xor bitwise_and:And bitwise_or:Or bitwise_xor:Xor", _same),
    **each("eq:Equal gt:Greater ge:GreaterOrEqual lt:Less le:LessOrEqual", _compared),
    "ne": lambda op: op.write("Not", op.write("Equal", *_operands(op))),
    "mul": _boolean("And", _same("Mul")),
    "add": _boolean("Or", _scaled("Add")),
    "sub": _scaled("Sub"),
    "div": _div,
    "fmod": _same("Mod", fmod=1),
    "remainder": _remainder,
    "rsqrt": chain("Sqrt", "Reciprocal"),
    "log1p": lambda op: op.write("Log", op.write("Add", op.tensor(0), op.number(1.0))),
    "expm1": lambda op: op.write("Sub", op.write("Exp", op.tensor(0)), op.number(1.0)),
    "trunc": lambda op: _truncated(op, op.tensor(0)),
    "clamp": _clamp,
    "where": _where,
    "erf": lambda op: _erf(op, op.tensor(0)),
    "gelu": _gelu,
    "elu": _elu,
    "leaky_relu": _leaky,
    "hardtanh": _hardtanh,
    **dict.fromkeys(("clone", "alias", "detach", "lift_fresh_copy", "_to_copy", "contiguous"), _copy),
}
