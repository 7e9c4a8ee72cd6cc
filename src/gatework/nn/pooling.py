"""A sequence of vectors as one vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from gatework.errors import InputError

Kind = Literal["attention", "mean", "max", "last", "concat"]
Reads = Literal["forward", "backward", "both"]


def running(lengths: Tensor | Sequence[int] | None, like: Tensor) -> Tensor:
    """Which steps of `like` [B, T, ...] belong to their sequence, bool [B, T]; all where lengths is None."""
    B, T = like.shape[:2]
    if lengths is None:
        return torch.ones((B, T), dtype=torch.bool, device=like.device)
    given = torch.as_tensor(lengths, device=like.device)
    if given.shape != (B,):
        raise InputError(f"lengths has shape {tuple(given.shape)}; expected ({B},), one length for each row.")
    return torch.arange(T, device=like.device) < given.unsqueeze(1)


class Pooling(nn.Module):
    """Pools [B, T, W] over the steps that belong to each sequence; a sequence without steps gives zeros.

    Args:
        kind: "attention" weighs steps by a learned score, softmax(v . tanh(A y_t + b)); "mean"; "max" of each feature;
            "last" is the step at which each row has been read; "concat" is that step, max and mean side by side (3 W).
        width: features W of a step, >= 1.
        reads: how the layers below read, which says where "last" is: "forward" (the last step), "backward" (the first),
            or "both" (the last step of the first half of the features, the first step of the second half).

    Attributes:
        width: features of what comes out: W, or 3 W for "concat".

    Raises InputError for a kind or a way of reading that is none of these, and an odd width read from both ends.

    Source: Yang et al., Hierarchical attention networks (NAACL 2016), eq. 5-7; Howard & Ruder, arXiv:1801.06146,
    section 3.3 (concat pooling).
    """

    def __init__(self, kind: Kind, width: int, reads: Reads = "forward") -> None:
        super().__init__()
        if reads not in get_args(Reads):
            raise InputError(f"reads is {reads!r}; expected one of {', '.join(get_args(Reads))}.")
        if reads == "both" and width % 2:
            raise InputError(f"width is {width}; layers that read from both ends give an even number of features.")
        if kind not in get_args(Kind):
            raise InputError(f"kind is {kind!r}; expected one of {', '.join(get_args(Kind))}.")
        self.kind, self.reads = kind, reads
        self.width = 3 * width if kind == "concat" else width
        if kind == "attention":
            self.projection = nn.Linear(width, width)
            self.score = nn.Linear(width, 1, bias=False)

    def forward(self, y: Tensor, lengths: Tensor | Sequence[int] | None = None) -> tuple[Tensor, Tensor | None]:
        """Pool whole sequences.

        Args:
            y: [B, T, W].
            lengths: [B] whole numbers in 0..T, or None where every step counts.

        Returns:
            pooled [B, width], and for "attention" the weights [B, T], 0 past each length and summing to 1.
        """
        seen = running(lengths, y)
        if self.kind == "attention":
            return self._attention(y, seen)
        pooled = {"mean": _mean, "max": _max, "last": self._last}
        names = ("last", "max", "mean") if self.kind == "concat" else (self.kind,)
        return torch.cat([pooled[name](y, seen) for name in names], -1), None

    def _last(self, y: Tensor, seen: Tensor) -> Tensor:
        """The step at which each row has been read, [B, W]."""
        if self.reads == "both":
            first, second = y.chunk(2, -1)
            return torch.cat([_step(first, seen, -1), _step(second, seen, 0)], -1)
        return _step(y, seen, 0 if self.reads == "backward" else -1)

    def _attention(self, y: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.score(torch.tanh(self.projection(y))).squeeze(-1).float()  # [B, T]
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
        weights = scores.softmax(1) * seen  # a row without steps has weights of zero instead of 1 / T
        weights = weights.to(y.dtype)
        return torch.bmm(weights.unsqueeze(1), torch.where(seen.unsqueeze(-1), y, 0.0)).squeeze(1), weights


def _mean(y: Tensor, seen: Tensor) -> Tensor:
    return torch.where(seen.unsqueeze(-1), y, 0.0).sum(1) / seen.sum(1, keepdim=True).clamp_min(1)


def _max(y: Tensor, seen: Tensor) -> Tensor:
    if not y.shape[1]:
        return y.new_zeros(y.shape[0], y.shape[2])
    largest = y.masked_fill(~seen.unsqueeze(-1), torch.finfo(y.dtype).min).amax(1)
    return torch.where(seen[:, :1], largest, 0.0)


def _step(y: Tensor, seen: Tensor, place: int) -> Tensor:
    """The first step of each row (place 0) or its last (place -1), [B, W]."""
    if not y.shape[1]:
        return y.new_zeros(y.shape[0], y.shape[2])
    if place:
        last = (seen.sum(1) - 1).clamp_min(0)
        found = y.gather(1, last.view(-1, 1, 1).expand(-1, 1, y.shape[2])).squeeze(1)
    else:
        found = y[:, 0]
    return torch.where(seen[:, :1], found, 0.0)
