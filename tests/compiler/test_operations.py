"""Every pointwise operation that has a vector form, by itself: values and gradients against the reference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, where

from gatework.cells import Cell, matrix
from gatework.compiler.plan import plan
from gatework.compiler.render import operations
from gatework.compiler.trace import op_name
from gatework.nn import Recurrent

ANYWHERE: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": lambda a: -a,
    "add a number": lambda a: a + 0.7,
    "sub a number": lambda a: a - 0.7,
    "number minus": lambda a: 1 - a,
    "mul a number": lambda a: 3 * a,
    "div by a number": lambda a: a / 3,
    "add alpha": lambda a: torch.add(a, a * a, alpha=2.5),
    "sub alpha": lambda a: torch.sub(a, a * a, alpha=2.5),
    "rsub alpha": lambda a: torch.rsub(a, a * a, alpha=0.5),
    "reciprocal": torch.reciprocal,
    "number divided": lambda a: 2 / a,
    "square": torch.square,
    "pow 0": lambda a: a**0,
    "pow 1": lambda a: a**1,
    "pow 3": lambda a: a**3,
    "pow 7.0": lambda a: a**7.0,
    "pow 9": lambda a: a**9,
    "pow -1": lambda a: a**-1,
    "pow -2": lambda a: a**-2,
    "pow -3": lambda a: a**-3,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "abs": torch.abs,
    "sign": lambda a: torch.sign(a) * a,
    "sgn": lambda a: torch.sgn(a) * a,
    "sgn alone": torch.sgn,
    "floor": lambda a: torch.floor(a) * a,
    "ceil": lambda a: torch.ceil(a) * a,
    "trunc": lambda a: torch.trunc(a) * a,
    "round": lambda a: torch.round(a) * a,
    "straight through": lambda a: a + (torch.round(a) - a).detach(),
    "relu": torch.relu,
    "silu": F.silu,
    "softplus": F.softplus,
    "hardtanh": F.hardtanh,
    "leaky_relu": lambda a: F.leaky_relu(a, 0.1),
    "leaky_relu default": F.leaky_relu,
    "hardswish": F.hardswish,
    "logsigmoid": F.logsigmoid,
    "softsign": F.softsign,
    "mish": F.mish,
    "threshold": lambda a: F.threshold(a, 0.1, 0.5),
    "clamp": lambda a: a.clamp(-0.5, 0.5),
    "clamp low": lambda a: torch.clamp(a, min=0.1),
    "clamp high": lambda a: torch.clamp(a, max=0.1),
    "clamp_min": lambda a: a.clamp_min(0.3),
    "clamp_max": lambda a: a.clamp_max(0.3),
    "gt": lambda a: where(a > 0.1, a, a * a),
    "ge": lambda a: where(a >= 0.5, a, a * a),
    "lt": lambda a: where(a < 0.1, a, a * a),
    "le": lambda a: where(a <= 0.5, a, a * a),
    "eq": lambda a: where(a == 0.5, a, a * a),
    "ne": lambda a: where(a != 0.5, a, a * a),
    "and": lambda a: where((a > 0) & (a < 1), a, a * a),
    "or": lambda a: where((a < 0) | (a > 1), a, a * a),
    "xor": lambda a: where((a > 0) ^ (a < 1), a, a * a),
    "not": lambda a: where(~(a > 0), a, a * a),
    "logical_and": lambda a: where(torch.logical_and(a > 0, a < 1), a, a * a),
    "logical_or": lambda a: where(torch.logical_or(a < 0, a > 1), a, a * a),
    "logical_xor": lambda a: where(torch.logical_xor(a > 0, a < 1), a, a * a),
    "logical_not": lambda a: where(torch.logical_not(a > 0), a, a * a),
    "where a number": lambda a: where(a > 0, 1.5, a),
    "masked_fill": lambda a: a.masked_fill(a > 0, 0.25),
    "mask to number": lambda a: (a > 0.1).to(a.dtype) * a,
    "mask times": lambda a: a * (a > 0.1),
    "zeros_like": lambda a: torch.zeros_like(a) + a,
    "ones_like": lambda a: torch.ones_like(a) - a,
    "full_like": lambda a: torch.full_like(a, 0.3) * a,
    "zeros": lambda a: torch.zeros(a.shape) + a,
    "new_zeros": lambda a: a.new_zeros(a.shape) + a,
    "new_ones": lambda a: a.new_ones(a.shape) * a,
    "new_full": lambda a: a.new_full(a.shape, 2.0) * a,
    "infinity": lambda a: torch.maximum(a, torch.full_like(a, -float("inf"))),
    "detach": lambda a: a.detach() * a,
    "in place": lambda a: a.clone().mul_(2).add_(a),
    "lerp": lambda a: torch.lerp(a, a * a, 0.3),
    "addcmul": lambda a: torch.addcmul(a, a, a, value=0.5),
    "addcdiv": lambda a: torch.addcdiv(a, a, a * a + 2),
    "maximum": lambda a: torch.maximum(a, a * a),
    "minimum": lambda a: torch.minimum(a, a * a),
    "constant": lambda a: torch.zeros_like(a) + 0.5,
}
POSITIVE: dict[str, Callable[[Tensor], Tensor]] = {
    "log": torch.log,
    "log1p": torch.log1p,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "pow 0.5": lambda a: a**0.5,
    "pow 1.7": lambda a: a**1.7,
    "pow -0.3": lambda a: a**-0.3,
}
# 0.5 is exact, so that comparisons with it are met on both sides.
VALUES = [-30.0, -3.1, -1.0001, -0.5, -0.26, -1e-3, 1e-3, 0.11, 0.29, 0.5, 0.77, 1.0001, 1.9, 2.5, 4.3, 19.0, 21.0]
# 16 units in the last place for ratios and high powers; 1 - y * y of a tanh near 1 is only good to a few units of 1.
CLOSE = {torch.float32: {"rtol": 2e-6, "atol": 5e-7}, torch.float64: {"rtol": 4e-15, "atol": 1e-15}}


def cell_of(operations: dict[str, Callable[[Tensor], Tensor]]) -> Cell:
    """A cell with a gate and a state for each operation, and one product, which a kernel cannot do without."""
    functions = list(operations.values())
    gates = [f"a{k}" for k in range(len(functions))]

    def step(self, x, s, U):
        return (U.p @ s.h, *(f(getattr(x, gate)) for f, gate in zip(functions, gates, strict=True)))

    states = ("h", *(f"y{k}" for k in range(len(functions))))
    return type("Operations", (Cell,), {"state": states, "gates": gates, "U": matrix("p"), "step": step})()


def run(cell: Cell, backend: str, gates: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """Values [operations, H] and gradients [gates, H]; gates come in as biases, so they arrive as they are."""
    n, H = gates.shape
    layer = Recurrent(cell, 0, H, dtype=gates.dtype, backend=backend)
    with torch.no_grad():
        layer.bias_ih_l0.copy_(gates.reshape(-1))
        layer.bias_hh_l0.zero_()
    _, (_, *results) = layer(torch.zeros(1, 1, 0, dtype=gates.dtype))
    values = torch.cat(results).squeeze(1)
    (gradient,) = torch.autograd.grad((values * upstream).sum(), [layer.bias_ih_l0])
    return values.detach(), gradient.view(n, H)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradients(dtype: torch.dtype):
    operations = ANYWHERE | POSITIVE
    cell = cell_of(operations)
    gates = torch.tensor(VALUES, dtype=dtype).repeat(len(operations), 1)
    gates[len(ANYWHERE) :].abs_()
    upstream = torch.linspace(0.5, 2, gates.numel(), dtype=dtype).view_as(gates)
    truth, tested = (run(cell, backend, gates, upstream) for backend in ("reference", "cpp"))
    wrong = {}
    for name, *rows in zip(operations, *truth, *tested, strict=True):
        for kind, expected, found in (("values", rows[0], rows[2]), ("gradients", rows[1], rows[3])):
            if not torch.allclose(expected, found, **CLOSE[dtype]):
                wrong[f"{name} {kind}"] = (expected.tolist(), found.tolist())
    assert wrong == {}


def test_every_entry_of_the_table_is_exercised():
    nodes = plan(cell_of(ANYWHERE | POSITIVE)).graph.nodes
    used = {op_name(node) for node in nodes}
    assert set(operations._OPS) - used == set()


REFUSED = {
    "rand_like": (lambda a: a * torch.rand_like(a), "rand_like"),
    "dropout": (lambda a: F.dropout(a, 0.5), "empty|bernoulli|rand|dropout"),
    "whole numbers": (lambda a: (4 * a).int().float() / 4, "conversion from torch.float32 to torch.int32"),
    "half precision": (lambda a: a.bfloat16().float(), "conversion from torch.float32 to torch.bfloat16"),
    "floor division": (lambda a: torch.div(a, 0.3, rounding_mode="floor"), "rounding_mode"),
    "round to decimals": (lambda a: torch.round(a, decimals=1), "decimals"),
    "softplus with beta": (lambda a: F.softplus(a, beta=2), "softplus"),
    "tensor exponent": (lambda a: torch.pow(a.abs() + 1, a), "pow"),
    "products": (lambda a: a.cumprod(-1), "prod"),
    "roll": (lambda a: a.roll(1, -1), "roll|index_select|cat|slice|shape"),
    "transpose": (lambda a: a.t().t(), "shape"),
    "tensor from outside": (lambda a: a * torch.tensor(0.5), "tensor from outside"),
    "bool of a number": (lambda a: where(a.bool(), a, a * a), "conversion from torch.float32 to torch.bool"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_vector_form_is_refused_by_name(name: str):
    """Never compiled to something else: in auto mode these run on the reference."""
    from gatework.compiler.build import kernel
    from gatework.compiler.trace import Unsupported

    function, message = REFUSED[name]
    with pytest.raises(Unsupported, match=message):
        kernel(cell_of({name: function}), torch.float32)
