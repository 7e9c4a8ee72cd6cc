"""Language models that learn from the text they are scored on, after it was scored: adapted weights, and a cache."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from gatework.errors import InputError
from gatework.nn import detach
from gatework.tasks.idle import Idle, refuse_idle
from gatework.tasks.language.network import LanguageNet
from gatework.tasks.language.reading import outputs
from gatework.train.progress import shown

_SEGMENT = 20  # tokens between two updates
_EPSILON = 1e-5
_RULES = (
    Idle(("pull",), lambda given: not given["dynamic"], "the weights stay as they are; set dynamic, such as 0.001"),
    Idle(
        ("cache_weight", "cache_sharpness"),
        lambda given: not given["cache"],
        "there is no cache; set cache, such as 500",
    ),
)


@dataclass(frozen=True)
class Adaptation:
    """What is added to a model while it reads a stream; the saved model stays as it is.

    Attributes:
        dynamic: of dynamic evaluation, the step of a weight whose gradient is as large as usual; 0 = off.
        pull: how far a usual weight goes back to the saved one at each update, 0 to 1.
        cache: tokens that the neural cache looks back; 0 = off.
        cache_weight: share of the cache in the probabilities, 0 to 1.
        cache_sharpness: factor on the products of hidden states; 0 = all tokens in the cache alike.

    Raises InputError for values out of range, ConfigError for those that would change nothing.
    """

    dynamic: float = 0.0
    pull: float = 0.0
    cache: int = 0
    cache_weight: float = 0.1
    cache_sharpness: float = 0.3

    def __post_init__(self) -> None:
        bounds = {"dynamic": 1.0, "pull": 1.0, "cache": 100_000, "cache_weight": 1.0, "cache_sharpness": 1000.0}
        for name, most in bounds.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise InputError(f"{name} is {value!r}; expected a number, 0 to {most:g}.")
        refuse_idle(vars(self), {field.name: field.default for field in fields(self)}, _RULES)

    def surprisals(self, net: LanguageNet, ids: Tensor) -> Tensor:
        """Surprisal [R - 1] in nats of every token of a stream [R] but the first, read in one state."""
        cache = Cache(self.cache, self.cache_weight, self.cache_sharpness) if self.cache else None
        read = dynamic_outputs(net, ids, self.dynamic, self.pull) if self.dynamic else _scored(net, ids)
        return torch.cat([cache.mixed(y, targets, nats) if cache else nats for y, targets, nats in read])


@torch.no_grad()
def _scored(net: LanguageNet, ids: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    for y, targets in outputs(net, ids):
        yield y, targets, net.head.scores(y, targets)


def dynamic_outputs(net: LanguageNet, ids: Tensor, rate: float, pull: float) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Dynamic evaluation: what goes into the output layer, the next tokens and their surprisal, by segments.

    After a segment was scored, a copy of the network takes a step on it: weights go by rate g / (sqrt(M) + epsilon),
    and back towards where they began by `pull` times their sqrt(M) over its mean (at most all the way).

    Source: Krause et al., Dynamic evaluation of neural sequence models, arXiv:1709.07432, eq. 5-9; the mean square M of
    the gradients, which is of the training data there, is that of the segments read so far.
    """
    net = copy.deepcopy(net).eval()
    weights: list[Tensor] = [weight for weight in net.parameters() if weight.requires_grad]
    start = [weight.detach().clone() for weight in weights]
    squares = [torch.zeros_like(weight) for weight in weights]
    state, total = None, len(ids) - 1
    segments = shown(range(0, total, _SEGMENT), total, lambda first: min(_SEGMENT, total - first), "reading", "tokens")
    for number, first in enumerate(segments):
        targets = ids[first + 1 : first + _SEGMENT + 1]
        with torch.enable_grad():
            y, state = net(ids[first : first + len(targets)].unsqueeze(0), state)
            loss = net.head.loss(y[0], targets)
        state = detach(state)
        yield y[0].detach(), targets, net.head.scores(y[0].detach(), targets)
        gradients = torch.autograd.grad(loss * len(targets) / _SEGMENT, weights, allow_unused=True)
        _update(weights, start, squares, gradients, rate, pull, number + 1)


@torch.no_grad()
def _update(
    weights: list[Tensor],
    start: list[Tensor],
    squares: list[Tensor],
    gradients: tuple[Tensor | None, ...],
    rate: float,
    pull: float,
    count: int,
) -> None:
    known = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, gradients, strict=True)]
    torch._foreach_addcmul_(squares, known, known)
    size = torch._foreach_sqrt(squares)
    torch._foreach_div_(size, math.sqrt(count))
    if pull:
        mean = sum(float(part.sum()) for part in size) / sum(part.numel() for part in size)
        share = torch._foreach_mul(size, pull / max(mean, _EPSILON))
        torch._foreach_clamp_max_(share, 1.0)
        torch._foreach_lerp_(weights, start, share)
    torch._foreach_add_(size, _EPSILON)
    torch._foreach_addcdiv_(weights, known, size, -rate)


class Cache:
    """A neural cache: tokens that followed states like the present one become more probable.

    The cache's probability of a token is the share, among the last `window` places i of the stream, of exp(sharpness *
    h_t . h_i) at those where it followed; it is mixed in with `weight`.

    Source: Grave, Joulin & Usunier, Improving neural language models with a continuous cache, arXiv:1612.04426, eq. 3
    and 4.
    """

    def __init__(self, window: int, weight: float, sharpness: float) -> None:
        self._window, self._weight, self._sharpness = window, weight, sharpness
        self._states: Tensor | None = None  # [P, W]
        self._tokens: Tensor | None = None  # [P]

    @torch.no_grad()
    def mixed(self, states: Tensor, targets: Tensor, nats: Tensor) -> Tensor:
        """The next piece of the stream: states [T, W], the tokens after them [T], their surprisal without the cache."""
        before = 0 if self._states is None else len(self._states)
        keys = states if self._states is None else torch.cat([self._states, states])
        followed = targets if self._tokens is None else torch.cat([self._tokens, targets])
        place = torch.arange(len(states)).unsqueeze(1) + before - torch.arange(len(keys))  # how long ago, [T, P + T]
        inside = (place > 0) & (place <= self._window)
        scores = (self._sharpness * states @ keys.t()).masked_fill(~inside, -torch.inf)
        total = scores.logsumexp(1)
        found = scores.masked_fill(followed != targets.unsqueeze(1), -torch.inf).logsumexp(1)
        self._states, self._tokens = keys[-self._window :], followed[-self._window :]
        cached = torch.where(total.isneginf(), -nats, found - total)  # with nothing in the cache, the model alone
        share = torch.tensor([1 - self._weight, self._weight], dtype=nats.dtype).log()
        return -torch.logaddexp(share[0] - nats, share[1] + cached)
