"""Every ATen operation that the export has a rule for, in a cell of its own, in ONNX Runtime beside torch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gatework.cells import Cell
from gatework.cells.rows import cumax, group_norm, layer_norm, rms_norm, straight_through
from gatework.nn import Recurrent
from tests.export.runtime import TOLERANCE, exported, largest_difference, session


def assigned(a: Tensor, b: Tensor) -> Tensor:
    c = a.clone()
    c[:, :2] = b[:, :2]
    c[:, -1] = 0.5
    c[:, 3:5] += 1
    return c


# of two values [B, 8]
OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "softmax": lambda a, b: F.softmax(a, -1) * b,
    "log_softmax": lambda a, b: F.log_softmax(a, -1) + b,
    "cumax": lambda a, b: cumax(a) * b,
    "layer_norm": lambda a, b: layer_norm(a) + layer_norm(b, torch.linspace(0.5, 1, 8), torch.linspace(-1, 1, 8)),
    "rms_norm": lambda a, b: rms_norm(a) + b,
    "group_norm": lambda a, b: group_norm(a, 2) * b,
    "heads": lambda a, b: (a.view(a.shape[0], 2, 4) * b.view(-1, 2, 4).amax(-1, keepdim=True)).flatten(1),
    "var": lambda a, b: a.var(-1, keepdim=True) + b.std(-1, keepdim=True, unbiased=False) + a,
    "round": lambda a, b: straight_through(torch.round(torch.sigmoid(a)), torch.sigmoid(a)) * b,
    "where": lambda a, b: torch.where(a > b, a, b * 0.5),
    "compared": lambda a, b: (a > 0).float() * b + (a <= 0.5) * b + (a != b).to(a.dtype) + (b == b) * a,
    "logic": lambda a, b: ((a > 0) & (b > 0) | ~(a < -1)).to(a.dtype) * a,
    "clamp": lambda a, b: a.clamp(-0.5, 0.5) + b.clamp(min=0) + torch.clamp(a, max=b),
    "minmax": lambda a, b: torch.minimum(a, b) + torch.maximum(a, b * 2),
    "softplus": lambda a, b: F.softplus(a) + F.logsigmoid(b) + F.silu(a) + F.mish(b),
    "elu": lambda a, b: (
        F.elu(a, 0.7) + F.leaky_relu(b, 0.2) + F.gelu(a) + F.gelu(b, approximate="tanh") + F.selu(a) + F.celu(b, 1.3)
    ),
    "hard": lambda a, b: (
        F.hardtanh(a) + F.hardsigmoid(b) + F.hardswish(a) + F.relu6(b) + F.softsign(a) + F.tanhshrink(b)
    ),
    "exp": lambda a, b: (
        torch.exp(-a * a)
        + torch.log(b * b + 1)
        + torch.log1p(a * a)
        + torch.expm1(b)
        + torch.sqrt(a * a + 1)
        + torch.rsqrt(b * b + 1)
    ),
    "trigonometric": lambda a, b: (
        torch.sin(a) + torch.cos(b) + torch.atan(a) + torch.sinh(b) + torch.erf(a) + torch.tan(b * 0.1)
    ),
    "pow": lambda a, b: a**2 + b**3 + (a * a + 1) ** -0.5 + 2**b + a.square() + torch.reciprocal(b * b + 1),
    "div": lambda a, b: (
        a / (b * b + 1)
        + 1 / (a * a + 2)
        + a / 3
        + torch.div(a * 3, 2, rounding_mode="floor")
        + torch.div(b * 3, 0.7, rounding_mode="trunc")
    ),
    "remainder": lambda a, b: (
        torch.remainder(a, 1.3) + torch.fmod(b, 0.7) + torch.frac(a) + torch.floor(b) + torch.ceil(a) + torch.trunc(b)
    ),
    "sub": lambda a, b: (
        1 - a + torch.sub(a, b, alpha=2) + torch.add(a, b, alpha=0.5) - b + (-a) + abs(b) + torch.sign(a)
    ),
    "cat": lambda a, b: torch.cat([a[:, :3], b[:, 3:]], -1) + torch.cat([a, b], 1)[:, ::2],
    "chunk": lambda a, b: (
        torch.cat([*a.chunk(2, -1)[::-1]], -1)
        + torch.stack(b.split(4, -1), 1).flatten(1)
        + torch.cat(a.unbind(1)[:1] * 8).view(8, -1).t()
    ),
    "roll": lambda a, b: a.flip(-1) + torch.roll(b, 1, -1),
    "selected": lambda a, b: a[:, 0:1] + b.select(1, 2).unsqueeze(-1) + b[:, [1, 0, 3, 2, 5, 4, 7, 6]],
    "mean": lambda a, b: (
        a
        - a.mean(-1, keepdim=True)
        + b.sum(1, keepdim=True)
        + a.amin(-1, keepdim=True)
        + torch.amax(b, 1, True)
        + b.norm(dim=-1, keepdim=True)
    ),
    "logsumexp": lambda a, b: a - torch.logsumexp(b, -1, keepdim=True) + torch.logaddexp(a, b),
    "repeated": lambda a, b: a[:, :4].repeat(1, 2) + b[:, :2].repeat_interleave(4, -1) + a[:, :1].expand(-1, 8),
    "filled": lambda a, b: (
        torch.cat([torch.zeros_like(a[:, :2]), b[:, 2:]], -1)
        + torch.ones_like(a) * 0.3
        + a.new_full((a.shape[0], 8), 0.2)
        + torch.zeros(a.shape[0], 8)
        + torch.full((a.shape[0], 1), 0.1)
    ),
    "inplace": lambda a, b: a.clone().mul_(b).add_(1).sigmoid_(),
    "assigned": assigned,
    "outer": lambda a, b: (
        torch.bmm(a.view(-1, 2, 4), b.view(-1, 4, 2)).flatten(1).repeat(1, 2)
        + torch.einsum("bi,bj->bij", a[:, :2], b[:, :4]).flatten(1)
    ),
    "masked": lambda a, b: (
        a.masked_fill(b > 0, 0.1) + torch.tril(torch.outer(torch.arange(8.0), torch.ones(8))).mean() * b
    ),
    "constants": lambda a, b: a * torch.linspace(0, 1, 8) + b @ torch.eye(8),
    "any": lambda a, b: (a > 0).any(-1, keepdim=True).float() * a + (b > -1).all(-1, keepdim=True).to(b.dtype),
    "extremes": lambda a, b: a - a.max(-1, keepdim=True).values + b * b.min(-1, keepdim=True).values,
    "topk": lambda a, b: torch.where(a >= a.topk(3, -1).values[:, -1:], a, 0 * b),
    "lerp": lambda a, b: torch.lerp(a, b, 0.3) + torch.lerp(a, b, torch.sigmoid(a)) + torch.addcmul(a, a, b, value=0.5),
    "sgn": lambda a, b: torch.sgn(a) + torch.heaviside(b, torch.tensor(0.5)),
    "nan": lambda a, b: torch.nan_to_num(a) + torch.isfinite(b).float(),
    "matmul": lambda a, b: torch.matmul(a.view(-1, 2, 4), torch.ones(4, 4) * 0.1).flatten(1) + b,
    "sort": lambda a, b: a.sort(-1).values + b,
    "prod": lambda a, b: torch.sigmoid(a).prod(-1, keepdim=True) + b,
    "pad": lambda a, b: F.pad(a[:, :6], (1, 1)) + b,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name: str):
    class Probe(Cell):
        state = "h"
        gates = "a", "b"

        def step(self, x, s, U):
            return torch.tanh(OPERATIONS[name](x.a + U.a @ s.h, x.b + U.b @ s.h))

    torch.manual_seed(11)
    layer = Recurrent(Probe, 3, 8, backend="reference").eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter *= 3  # so that values reach both sides of every threshold
    assert largest_difference(layer, session(exported(layer)), 5, 4) <= TOLERANCE
