"""C++ on vectors of the pointwise operations that a step is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from gatework.compiler.graph import CONSTANTS, Formula, Unsupported, op_name

if TYPE_CHECKING:
    from torch.fx import Node

_OPS: dict[str, str] = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "rsub": "{1} - {0}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "reciprocal": "1 / {0}",
    "sigmoid": "vsigmoid({0})",
    "tanh": "vtanh({0})",
    "exp": "vexp({0})",
    "expm1": "vexpm1({0})",
    "log": "vlog({0})",
    "log1p": "vlog1p({0})",
    "sqrt": "vsqrt({0})",
    "rsqrt": "1 / vsqrt({0})",
    "abs": "vabs({0})",
    "sgn": "pick({0} > 0, splat(1), pick({0} < 0, splat(-1), {0}))",
    "sign": "pick({0} > 0, splat(1), pick({0} < 0, splat(-1), V{{}}))",
    "relu": "pick({0} <= 0, V{{}}, {0})",
    "maximum": "vmax({0}, {1})",
    "minimum": "vmin({0}, {1})",
    "clamp_min": "vmax({0}, {1})",
    "clamp_max": "vmin({0}, {1})",
    "where": "pick({0}, {1}, {2})",
    "sin": "lanes({0}, [](real a) {{ return std::sin(a); }})",
    "cos": "lanes({0}, [](real a) {{ return std::cos(a); }})",
    "erf": "lanes({0}, [](real a) {{ return std::erf(a); }})",
    "floor": "lanes({0}, [](real a) {{ return std::floor(a); }})",
    "ceil": "lanes({0}, [](real a) {{ return std::ceil(a); }})",
    "trunc": "lanes({0}, [](real a) {{ return std::trunc(a); }})",
    "round": "lanes({0}, [](real a) {{ return std::nearbyint(a); }})",
    "silu": "{0} * vsigmoid({0})",
    "softplus": "pick({0} > 20, {0}, vlog1p(vexp({0})))",
    "hardtanh": "vmin(vmax({0}, splat(-1)), splat(1))",
    "sigmoid_backward": "{0} * ((1 - {1}) * {1})",
    "tanh_backward": "{0} * (1 - {1} * {1})",
    "threshold_backward": "pick({1} <= {2}, V{{}}, {0})",
    "softplus_backward": "pick({1} > 20, {0}, {0} * vsigmoid({1}))",
    "hardtanh_backward": "pick(({1} > -1) & ({1} < 1), {0}, V{{}})",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "logical_and": "{0} & {1}",
    "bitwise_and": "{0} & {1}",
    "logical_or": "{0} | {1}",
    "bitwise_or": "{0} | {1}",
    "logical_xor": "{0} ^ {1}",
    "bitwise_xor": "{0} ^ {1}",
    "logical_not": "~{0}",
    "bitwise_not": "~{0}",
}
MASKS = {
    "gt",
    "ge",
    "lt",
    "le",
    "eq",
    "ne",
    "logical_and",
    "bitwise_and",
    "logical_or",
    "bitwise_or",
    "logical_xor",
    "bitwise_xor",
    "logical_not",
    "bitwise_not",
}
# Operations whose further arguments have only these values in the table's form.
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "softplus": (1, 20),
    "hardtanh": (-1, 1),
    "softplus_backward": (1, 20),
    "hardtanh_backward": (-1, 1),
}


def number(value: float) -> str:
    """C++ of a number."""
    if isinstance(value, Formula):
        return f"splat((real)({value.text}))"
    if math.isnan(value):
        return "splat(std::numeric_limits<real>::quiet_NaN())"
    if math.isinf(value):
        return "splat(INF)" if value > 0 else "splat(-INF)"
    return f"splat((real){float(value)!r})"


def _clamp(args: Sequence[str | None]) -> str:
    low, high = (*args[1:], None, None)[:2]
    inner = args[0] if low is None else f"vmax({args[0]}, {low})"
    return str(inner) if high is None else f"vmin({inner}, {high})"


def _power(base: str, exponent: Any) -> str:
    if isinstance(exponent, int | float) and exponent == int(exponent) and 0 <= exponent <= 8:
        return " * ".join([base] * int(exponent)) or "splat(1)"
    if exponent == 0.5:
        return f"vsqrt({base})"
    if isinstance(exponent, int | float) and exponent in (-1, -2):
        return f"1 / ({' * '.join([base] * -int(exponent))})"
    return f"lanes({base}, [](real a) {{ return (real)std::pow(a, (real){float(exponent)!r}); }})"


def constant(node: Node) -> str:
    """C++ of a constant in another's shape.  Raises Unsupported for memory that was never written."""
    if op_name(node).startswith("empty"):
        raise Unsupported(f"`{op_name(node)}` has no value; a kernel cannot make random numbers of its own this way.")
    if op_name(node) in ("zeros_like", "new_zeros", "zeros", "_efficientzerotensor"):
        return "V{}"
    return "splat(1)" if op_name(node) in ("ones_like", "new_ones", "ones") else number(node.args[-1])  # type: ignore[arg-type]


def _asnumber(argument: Any, text: str) -> str:
    """1 and 0 for a comparison that is calculated with."""
    is_mask = not isinstance(argument, bool | int | float) and op_name(argument) in MASKS
    return f"pick({text}, splat(1), V{{}})" if is_mask else text


def _conversion(node: Node, value: Callable[[Any], str]) -> str:
    (source,) = node.all_input_nodes
    before, after = (n.meta["val"].dtype for n in (source, node))
    if not {before, after} <= {torch.float32, torch.float64} and op_name(source) not in MASKS:
        raise Unsupported(f"`to` is a conversion from {before} to {after}, which has no vector form so far.")
    return _asnumber(source, value(source))


def expression(node: Node, value: Callable[[Any], str]) -> str:
    """C++ of one pointwise operation; `value` gives that of its arguments.  Raises Unsupported for others."""
    name = op_name(node)
    if name == "pow":
        if not isinstance(node.args[1], int | float):
            raise Unsupported("`pow` has a tensor as exponent; write exp(b * log(a)).")
        return _power(value(node.args[0]), node.args[1])
    if name == "clamp":
        return _clamp([None if a is None else value(a) for a in node.args])
    if name in CONSTANTS:
        return constant(node)
    if name in ("expand", "view", "_unsafe_view", "squeeze", "unsqueeze"):
        return value(node.args[0])
    if name == "_to_copy":
        return _conversion(node, value)
    if name == "leaky_relu":
        x, slope = value(node.args[0]), value((*node.args, 0.01)[1])
        return f"pick({x} > 0, {x}, {slope} * {x})"
    if name not in _OPS:
        raise Unsupported(
            f"`{name or node.target}` has no vector form so far (compiled are: {', '.join(sorted(_OPS))}, pow, clamp)."
        )
    texts = [
        _asnumber(a, value(a)) if name not in MASKS and (name, k) != ("where", 0) else value(a)
        for k, a in enumerate(node.args)
    ]
    options = {key: option for key, option in node.kwargs.items() if option is not None}
    if alpha := options.pop("alpha", None):
        scaled = 0 if name == "rsub" else 1
        texts[scaled] += f" * {value(alpha)}"
    if options:
        raise Unsupported(f"`{name}` with {options} has no vector form so far.")
    if name in _DEFAULTS:
        extra = tuple(a for a in node.args if isinstance(a, int | float))
        if extra and extra != _DEFAULTS[name]:
            raise Unsupported(f"`{name}` with {extra} has no vector form so far, only with {_DEFAULTS[name]}.")
    return _OPS[name].format(*texts)
