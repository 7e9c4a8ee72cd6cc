"""Operations over the units of a row that `step` may use beside torch's own (softmax, cumsum, mean, amax, ...).

All are plain torch over the last axis, so that the reference, the tracer and every renderer read the same definition.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def layer_norm(v: Tensor, gain: Tensor | None = None, shift: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """(v - mean) / sqrt(var + eps), times gain, plus shift, over the units [B, n].  Ba et al., arXiv:1607.06450."""
    return _scaled(F.layer_norm(v, (v.shape[-1],), None, None, eps), gain, shift)


def rms_norm(v: Tensor, gain: Tensor | None = None, eps: float = 1e-6) -> Tensor:
    """Root-mean-square norm: v / sqrt(mean(v^2) + eps), times gain.  Zhang & Sennrich, arXiv:1910.07467."""
    normed = v * torch.rsqrt((v * v).mean(-1, keepdim=True) + eps)
    return normed if gain is None else normed * gain


def group_norm(
    v: Tensor, groups: int, gain: Tensor | None = None, shift: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Layer norm within each of `groups` equal parts of the units [B, n], gain and shift [n].  arXiv:1803.08494."""
    parts = v.view(v.shape[0], groups, v.shape[-1] // groups)
    return _scaled(F.layer_norm(parts, (parts.shape[-1],), None, None, eps).view(v.shape), gain, shift)


def _scaled(normed: Tensor, gain: Tensor | None, shift: Tensor | None) -> Tensor:
    """By multiplication, so that gain and shift may be traced as rows [B, n]."""
    normed = normed if gain is None else normed * gain
    return normed if shift is None else normed + shift


def cumax(v: Tensor) -> Tensor:
    """cumsum(softmax(v)): rises from 0 to 1 over the units.  Shen et al., arXiv:1810.09536, eq. 6."""
    return torch.cumsum(torch.softmax(v, -1), -1)


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard` with the gradient of `soft`.  Bengio et al., arXiv:1308.3432, section 4."""
    return hard.detach() + (soft - soft.detach())  # in this order the value is exactly that of `hard`
