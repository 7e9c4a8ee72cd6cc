"""Classes that are ranks (stars, grades): one score a text, cut by thresholds that rise."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gatework.errors import InputError


class OrdinalHead(nn.Module):
    """Log-probabilities of K ranks from features: P(rank > k) = sigmoid(w . x - b_k) with b_1 < b_2 < ...

    One weight vector serves all ranks and only the thresholds b differ, so that the probability of a rank above k never
    rises with k. The thresholds keep their order by construction: b_1, and steps softplus(d_k) up from it.

    Args:
        width: features of x, >= 1.
        ranks: K, >= 2.

    Raises InputError for arguments out of range.

    Source: McCullagh, Regression models for ordinal data, JRSS B 42 (1980), eq. 2.4 (the cumulative link); Cao,
    Mirjalili & Raschka, arXiv:1901.07884, section 3.3 (the head of a network with shared weights).
    """

    def __init__(self, width: int, ranks: int) -> None:
        super().__init__()
        if width < 1 or ranks < 2:
            raise InputError(f"width is {width} and ranks {ranks}; expected 1 or more, and 2 or more.")
        self.width, self.ranks = width, ranks
        self.score = nn.Linear(width, 1, bias=False)
        even = torch.linspace(1, -1, ranks + 1)[1:-1]  # to begin with every rank is about equally probable
        thresholds = torch.log((1 - even) / (1 + even))  # b_k, rising
        self.first = nn.Parameter(thresholds[:1].clone())
        self.steps = nn.Parameter(torch.log(torch.expm1(thresholds.diff())))

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities [..., K] of features [..., width]; they are also scores for a softmax."""
        above = self.score(x) - self.thresholds()  # [..., K - 1]: logit of P(rank > k)
        up, down = functional.logsigmoid(above), functional.logsigmoid(-above)
        if self.ranks == 2:
            return torch.cat([down, up], -1)
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)), whose logarithm does not cancel
        gap = torch.log(-torch.expm1(-functional.softplus(self.steps)))
        inner = up[..., :-1] + down[..., 1:] + gap
        return torch.cat([down[..., :1], inner, up[..., -1:]], -1)

    def thresholds(self) -> Tensor:
        """The thresholds [K - 1], rising."""
        return torch.cat([self.first, self.first + functional.softplus(self.steps).cumsum(0)])

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.width}, ranks={self.ranks}"
