"""Language models at work: whole streams read in one state, and what comes next at any place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gatework.nn import select
from gatework.nn.stepping import Stepper, stepper
from gatework.tasks.language.network import LanguageNet
from gatework.train.progress import shown

_PARTS, _BEFORE = 32, 256  # a validation reads so many parts of the stream, each after so many tokens
CHUNK = 1024  # tokens of a stream that are read at once
_AT_ONCE = 16_384  # tokens of many texts that are read at once


class Reader:
    """Networks that continue rows of token ids; their probabilities are averaged. States are one for each network.

    For networks whose weights stay as they are. Without gradients.
    """

    def __init__(self, nets: Sequence[LanguageNet]) -> None:
        self._nets = nets
        self._rows = 0  # of which `_steps` read a token each
        self._steps: list[LanguageNet | Stepper] = []

    @torch.no_grad()
    def start(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, list[Any]]:
        """Read prompts of 1 id or more each; log-probabilities [B, V] of what comes next, and the state."""
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        ids = nn.utils.rnn.pad_sequence([torch.tensor(prompt) for prompt in prompts], batch_first=True)
        rows = torch.arange(len(prompts))
        read = [net(ids, None, lengths) for net in self._nets]
        return self._next([y[rows, lengths - 1] for y, _ in read]), [state for _, state in read]

    @torch.no_grad()
    def step(self, ids: Tensor, state: list[Any]) -> tuple[Tensor, list[Any]]:
        """Read one id of each row, [B]; log-probabilities [B, V] of the next, and the state."""
        if len(ids) != self._rows:
            self._rows, self._steps = len(ids), [stepper(net.backbone, len(ids)) or net for net in self._nets]
        read = [step(ids.unsqueeze(1), own) for step, own in zip(self._steps, state, strict=True)]
        return self._next([y[:, 0] for y, _ in read]), [own for _, own in read]

    def select(self, state: list[Any], rows: Tensor) -> list[Any]:
        """The state of these rows, which may repeat."""
        return [select(own, rows) for own in state]

    def _next(self, outputs: Sequence[Tensor]) -> Tensor:
        return averaged([net.head.log_probabilities(y) for net, y in zip(self._nets, outputs, strict=True)])


def averaged(scores: Sequence[Tensor]) -> Tensor:
    """The logarithm of the mean of probabilities that are given as logarithms."""
    return scores[0] if len(scores) == 1 else torch.stack(list(scores)).logsumexp(0) - math.log(len(scores))


def outputs(net: LanguageNet, ids: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Read a stream [R] in one state: what goes into the output layer [T, W], and the token that comes next [T]."""
    state, total = None, len(ids) - 1
    for first in shown(range(0, total, CHUNK), total, lambda first: min(CHUNK, total - first), "reading", "tokens"):
        targets = ids[first + 1 : first + CHUNK + 1]
        y, state = net(ids[first : first + len(targets)].unsqueeze(0), state)
        yield y[0], targets


@torch.no_grad()
def surprisals(net: LanguageNet, ids: Tensor) -> Tensor:
    """Surprisal [R - 1] in nats of every token of a stream [R] but the first, read in one state."""
    return torch.cat([net.head.scores(y, targets) for y, targets in outputs(net, ids)])


@torch.no_grad()
def mean_surprisal(net: LanguageNet, ids: Tensor) -> float:
    """Mean surprisal in nats of the tokens of a stream [R], nearly as in one state, but many times as fast.

    The stream is read in 32 parts side by side, each after the 256 tokens before it, which are not scored; a stream too
    short for that is read as it is.
    """
    each = (len(ids) - 1 - _BEFORE) // _PARTS
    if each < _BEFORE:
        return float(surprisals(net, ids).mean())
    parts = ids[: _BEFORE + _PARTS * each + 1].unfold(0, _BEFORE + each + 1, each)  # [32, 256 + each + 1]
    _, state = net(parts[:, :_BEFORE])
    total = 0.0
    for first in range(_BEFORE, _BEFORE + each, CHUNK):
        x, targets = parts[:, first : first + CHUNK + 1][:, :-1], parts[:, first + 1 : first + CHUNK + 1]
        y, state = net(x, state)
        total += float(net.head.scores(y, targets).double().sum())
    return total / (_PARTS * each)


@torch.no_grad()
def surprisals_and_ranks(nets: Sequence[LanguageNet], ids: Tensor) -> tuple[Tensor, Tensor]:
    """Surprisal [R - 1] in nats of every token of a stream but the first, and its rank by probability, from 1."""
    nats, ranks = [], []
    for read in zip(*(outputs(net, ids) for net in nets), strict=True):
        targets = read[0][1].unsqueeze(1)
        scores = averaged([net.head.log_probabilities(y) for net, (y, _) in zip(nets, read, strict=True)])
        own = scores.gather(1, targets)
        nats.append(-own.squeeze(1))
        ranks.append(1 + (scores > own).sum(1))
    return torch.cat(nats), torch.cat(ranks)


@torch.no_grad()
def surprisal_of_each(nets: Sequence[LanguageNet], streams: Sequence[Tensor]) -> list[float]:
    """The surprisal in nats of each of many streams as a whole, each read from a fresh state, like lengths together."""
    totals, sizes = [0.0] * len(streams), [len(ids) - 1 for ids in streams]
    batches = _like_lengths(sizes)
    for numbers in shown(batches, sum(sizes), lambda part: sum(sizes[number] for number in part), "reading", "tokens"):
        if len(numbers) == 1:  # which may be of any length
            alone = streams[numbers[0]]
            totals[numbers[0]] = float(-averaged([-surprisals(net, alone) for net in nets]).double().sum())
            continue
        lengths = torch.tensor([sizes[number] for number in numbers])
        ids = nn.utils.rnn.pad_sequence([streams[number] for number in numbers], batch_first=True)
        inside = torch.arange(ids.shape[1] - 1) < lengths.unsqueeze(1)
        targets = ids[:, 1:][inside]
        scores = [-net.head.scores(net(ids[:, :-1], None, lengths)[0][inside], targets) for net in nets]
        rows = torch.tensor_split(-averaged(scores).double(), lengths.cumsum(0)[:-1])
        for number, own in zip(numbers, rows, strict=True):
            totals[number] = float(own.sum())
    return totals


def _like_lengths(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of streams in batches of like length that hold about as many tokens each."""
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: lengths[number]):
        if batch and lengths[number] * (len(batch) + 1) > _AT_ONCE:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
