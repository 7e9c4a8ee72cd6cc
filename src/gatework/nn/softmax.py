"""`Softmax`: the layer from hidden states to words, whose loss never keeps the scores of all words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from gatework.compiler.cross_entropy import cross_entropy, fits
from gatework.errors import InputError

_CHUNK = 1 << 22  # scores in memory at a time: 16 MB, near the processor; much fewer make the products narrow and slow


class Softmax(nn.Module):
    """A distribution over V words from D features, and the cross-entropy of the words that came.

    The loss runs over a part of the rows at a time and makes the gradient of their scores in place, in the forward
    pass, so that [N, V] scores are never held: memory is that of the weights. It can be differentiated once.

    Args:
        width: features D of the input, >= 1.
        tokens: words V, >= 1.
        weight: the matrix [V, D] of an embedding, to be shared (weight tying: Press & Wolf, arXiv:1608.05859; Inan et
            al., arXiv:1611.01462); None makes one of the layer's own.
        adaptive: where the clusters of rarer words begin, rising, in 1..V-1: the words before the first have scores of
            their own, and each cluster one score and a projection a quarter as wide as that of the one before (Grave et
            al., arXiv:1609.04309). Words must be numbered from frequent to rare. None or () scores every word.

    Raises InputError for arguments out of range, a weight of another shape, and adaptive together with a weight.

    Example:
        >>> import torch
        >>> layer = Softmax(8, 100)
        >>> h, targets = torch.zeros(5, 8), torch.arange(5)
        >>> layer.loss(h, targets).shape, layer.scores(h, targets).shape, layer.log_probabilities(h).shape
        (torch.Size([]), torch.Size([5]), torch.Size([5, 100]))
    """

    def __init__(
        self, width: int, tokens: int, weight: nn.Parameter | None = None, adaptive: Sequence[int] | None = None
    ) -> None:
        super().__init__()
        for name, value in (("width", width), ("tokens", tokens)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} is {value!r}; expected a whole number >= 1.")
        self.width, self.tokens = width, tokens
        self.clusters: nn.AdaptiveLogSoftmaxWithLoss | None = None
        if adaptive:
            _check_clusters(width, tokens, weight, adaptive)
            self.clusters = nn.AdaptiveLogSoftmaxWithLoss(width, tokens, list(adaptive))
            return
        if weight is not None and tuple(weight.shape) != (tokens, width):
            raise InputError(
                f"weight has shape {tuple(weight.shape)}; expected [{tokens}, {width}], tokens by width. To share an "
                "embedding, make it as wide as the features that are scored."
            )
        self.weight = nn.Parameter(torch.empty(tokens, width)) if weight is None else weight
        self.bias = nn.Parameter(torch.zeros(tokens))
        if weight is None:
            nn.init.uniform_(self.weight, -1 / math.sqrt(width), 1 / math.sqrt(width))

    def loss(self, h: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy, a scalar in nats per word.

        Args:
            h: features [..., D], at least one row.
            targets: the word that came at each, int64 [...] in 0..V-1.

        Raises InputError where shapes or dtypes do not fit, a target is no word, or there is none.
        """
        h, targets = self._rows(h, targets)
        if not len(h):
            raise InputError("loss of no words: h has no rows; leave empty batches out.")
        if self.clusters is not None:
            value: Tensor = self.clusters(h, targets).loss
        elif torch.compiler.is_compiling():  # which makes its own of the plain form
            value = F.cross_entropy(F.linear(h, self.weight, self.bias), targets)
        else:
            value = _MeanCrossEntropy.apply(h.to(self.weight.dtype), self.weight, self.bias, targets)  # type: ignore[no-untyped-call]
        return value

    @torch.no_grad()
    def scores(self, h: Tensor, targets: Tensor) -> Tensor:
        """What each word costs, -log p in nats, [...]; arguments and errors as for `loss`, without gradients."""
        shape = targets.shape
        h, targets = self._rows(h, targets)
        if not len(h):
            costs = h.new_zeros(0)
        elif self.clusters is not None:
            costs = -self.clusters(h, targets).output
        else:
            costs, _ = _cross_entropy(h.to(self.weight.dtype), self.weight, self.bias, targets, (False, False, False))
        return costs.view(shape)

    def log_probabilities(self, h: Tensor) -> Tensor:
        """Logarithm of the probability of every word, [..., V], from features [..., D]."""
        self._check(h)
        if self.clusters is not None:
            flat: Tensor = self.clusters.log_prob(h.reshape(-1, self.width))
            return flat.view(*h.shape[:-1], self.tokens)
        return F.linear(h, self.weight, self.bias).log_softmax(-1)

    def extra_repr(self) -> str:
        """The sizes, for print."""
        return f"{self.width}, {self.tokens}"

    def _rows(self, h: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """`h` as [N, D] and `targets` as [N], once they fit each other and this layer."""
        self._check(h)
        if targets.dtype != torch.int64:
            raise InputError(f"targets are {targets.dtype}; expected torch.int64, the numbers of words.")
        if targets.shape != h.shape[:-1]:
            raise InputError(
                f"targets have shape {tuple(targets.shape)}; h {tuple(h.shape)} wants {tuple(h.shape[:-1])}."
            )
        if targets.device.type == "cpu" and targets.numel():  # elsewhere the gather itself refuses; looking would wait
            least, most = (int(bound) for bound in targets.aminmax())
            if least < 0 or most >= self.tokens:
                raise InputError(f"targets run from {least} to {most}; expected numbers in 0..{self.tokens - 1}.")
        return h.reshape(-1, self.width), targets.reshape(-1)

    def _check(self, h: Tensor) -> None:
        if h.dim() < 1 or h.shape[-1] != self.width:
            raise InputError(f"h has shape {tuple(h.shape)}; expected [..., {self.width}].")


def _check_clusters(width: int, tokens: int, weight: nn.Parameter | None, adaptive: Sequence[int]) -> None:
    """Raise InputError where these clusters cannot be made."""
    if weight is not None:
        raise InputError("adaptive clusters have projections of their own and cannot share a weight; drop one of both.")
    rising = all(a < b for a, b in pairwise((0, *adaptive, tokens)))
    if not rising or not all(isinstance(bound, int) for bound in adaptive):
        raise InputError(f"adaptive is {tuple(adaptive)}; expected rising whole numbers in 1..{tokens - 1}.")
    if width < 4 ** len(adaptive):
        raise InputError(
            f"{len(adaptive)} adaptive clusters need a width of at least {4 ** len(adaptive)}, since each is a quarter "
            f"as wide as the one before; width is {width}. Give fewer."
        )


def _parts(N: int, V: int) -> Iterator[slice]:
    """Equal parts of N rows whose scores of V words stay near the processor."""
    count = max(1, min(N, -(-N * V // _CHUNK)))
    size = -(-N // count)
    return (slice(start, min(start + size, N)) for start in range(0, N, size or 1))


def _cross_entropy(
    h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """-log softmax(h W' + b) at the targets [N], and the gradients of its sum by h, weight and bias where wanted."""
    if fits(h, weight, bias):
        return cross_entropy(h, weight, bias, targets, _CHUNK, wanted)
    return _by_parts(h, weight, bias, targets, wanted)


def _by_parts(
    h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """`_cross_entropy` in PyTorch: with dz = softmax(z) - onehot(target), dh = dz W, dW = dz' h, db = sum of dz."""
    parts = list(_parts(len(h), len(weight)))
    scores, losses = h.new_empty(parts[0].stop, len(weight)), h.new_empty(len(h))
    made = [torch.zeros_like(t) if want else None for t, want in zip((h, weight, bias), wanted, strict=True)]
    dh, dW, db = made
    for rows in parts:
        part, target = h[rows], targets[rows, None]
        z = scores[: len(part)]
        torch.addmm(bias, part, weight.t(), out=z)
        torch.log_softmax(z, 1, out=z)
        losses[rows] = -z.gather(1, target)[:, 0]
        if not any(wanted):
            continue
        z.exp_().scatter_add_(1, target, z.new_full(target.shape, -1.0))
        if dh is not None:
            torch.mm(z, weight, out=dh[rows])
        if dW is not None:
            dW.addmm_(z.t(), part)
        if db is not None:
            db += z.sum(0)
    return losses, made


class _MeanCrossEntropy(torch.autograd.Function):
    """The mean over the rows; all gradients are made in the forward pass."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        losses, made = _cross_entropy(h, weight, bias, targets, ctx.needs_input_grad[:3])
        ctx.rows = len(h)
        ctx.save_for_backward(*made)
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        share = gradient / ctx.rows
        return *(None if made is None else made * share for made in ctx.saved_tensors), None
