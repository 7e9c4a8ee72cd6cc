"""Dropout that keeps its choice along a sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gatework.errors import InputError


def check_rate(name: str, value: float) -> float:
    """`value` as a probability in [0, 1); raises InputError for anything else."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise InputError(f"{name} is {value!r}; expected a probability, 0 <= {name} < 1.")
    return float(value)


class LockedDropout(nn.Module):
    """Drops features of a sequence, the same ones at every step.

    Dropout drawn anew at each step would let a recurrent layer average it away; a locked mask hides a feature for the
    whole sequence. Each row of a batch has a mask of its own.

    Args:
        rate: probability in [0, 1) that a feature is dropped in training; what stays is scaled by 1 / (1 - rate).

    Raises InputError for a rate outside [0, 1).

    Source: Gal & Ghahramani, arXiv:1512.05287, section 4; Merity et al., arXiv:1708.02182, section 4.2.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = check_rate("rate", rate)

    def forward(self, x: Tensor) -> Tensor:
        """`x` [B, T, F] with features dropped in training; in evaluation `x` itself."""
        if not self.training or not self.rate:
            return x
        kept = torch.empty((x.shape[0], 1, x.shape[2]), dtype=x.dtype, device=x.device)
        return x * kept.bernoulli_(1 - self.rate).mul_(1 / (1 - self.rate))

    def extra_repr(self) -> str:
        """The rate."""
        return f"{self.rate}"
