"""PyTorch's rules that take an operation apart into simpler ones, chosen for what kernels have forms for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor

from gatework.compiler.graph import CONSTANTS

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
    return x.sum(list(dim), keepdim) / prod(x.shape[d] for d in _axes(x, dim))


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
