"""Text written by a language model, token by token, with memory that does not grow.

A `Predictor` (the networks) is all that is asked of a model. Every row draws from a random source of its own, made of
the seed, its prompt and its sample number: a prompt in a batch of one gives the text it gives in a batch of many.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from gatework.errors import InputError
from gatework.tasks.language.sampling import Sampling, whole_number
from gatework.tasks.language.writing import Decoder, Spelling, Stops

_ROWS = 256  # written side by side


class Predictor(Protocol):
    """What continues rows of token ids. States are its own; the rows of one are handled through `select`."""

    def start(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Any]:
        """Read prompts of 1 id or more each; log-probabilities [B, V] of what comes next, and the state."""

    def step(self, ids: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read one id of each row, [B]; log-probabilities [B, V] of the next, and the state."""

    def select(self, state: Any, rows: Tensor) -> Any:
        """The state of these rows, which may repeat."""


class Prompt(NamedTuple):
    """What a text goes on from.

    Attributes:
        ids: 1 or more.
        spaced: whether a space follows that the ids do not tell of; the text then begins without one.
        sample: number of the sample: the same prompt, number and seed give the same text.
    """

    ids: Sequence[int]
    spaced: bool = False
    sample: int = 0


class Generated(str):
    """A text, and how it came about.

    Attributes:
        tokens: ids, those of a stop string or of the text's end among them.
        log_probabilities: of each token, under the model before any filter, in nats.
        stopped_by: "limit", "stop" (a stop string) or "end" (the model ended the text).
        alternatives: for each token the most probable ones in its place, (id, log-probability), where asked for.
    """

    __slots__ = ("alternatives", "log_probabilities", "stopped_by", "tokens")
    tokens: list[int]
    log_probabilities: list[float]
    stopped_by: str
    alternatives: list[list[tuple[int, float]]]


@dataclass(frozen=True)
class Order:
    """What is wanted of a generation.

    Attributes:
        limit: tokens at most, 1 or more.
        sampling: how a token is drawn.
        stops: strings before which a text ends.
        ends: ids that end a text.
        never: ids that are not written.
        alternatives: how many of the most probable tokens to note at each place.
        seed: of all random choices.

    Raises InputError for values out of range.
    """

    limit: int = 200
    sampling: Sampling = field(default_factory=Sampling)
    stops: tuple[str, ...] = ()
    ends: frozenset[int] = frozenset()
    never: tuple[int, ...] = ()
    alternatives: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        whole_number("limit", self.limit, 1)
        whole_number("alternatives", self.alternatives, 0)
        whole_number("seed", self.seed, 0)
        if not all(isinstance(stop, str) and stop for stop in self.stops):
            raise InputError(f"stop is {list(self.stops)!r}; expected strings of 1 character or more.")

    def permitted(self, scores: Tensor) -> Tensor:
        """Log-probabilities without the ids that are never written."""
        return scores.index_fill(1, self._never, -torch.inf)

    @cached_property
    def _never(self) -> Tensor:
        return torch.tensor(self.never, dtype=torch.int64)


@dataclass
class Row:
    """One text in the making."""

    spelling: Spelling
    stops: Stops
    recent: list[int]
    tokens: int = 0
    stopped_by: str = ""

    @classmethod
    def after(cls, prompt: Prompt, decoder: Decoder, order: Order) -> Row:
        """A text that goes on from `prompt`."""
        recent = list(prompt.ids[-order.sampling.window :]) if order.sampling.remembers else []
        return cls(Spelling(decoder, prompt.ids, prompt.spaced), Stops(order.stops), recent)

    def take(self, token: int, order: Order) -> str:
        """Add a token; the text that is certain since."""
        self.tokens += 1
        if order.sampling.remembers:
            self.recent.append(token)
            del self.recent[: -order.sampling.window]
        if token in order.ends:
            self.stopped_by = "end"
            return self.stops.feed(self.spelling.flush()) + self.stops.flush()
        piece = self.stops.feed(self.spelling.feed(token))
        if not self.stops.found and self.tokens >= order.limit:
            self.stopped_by = "limit"
            piece += self.stops.feed(self.spelling.flush())
        if self.stops.found:
            self.stopped_by = "stop"
        return piece + self.stops.flush() if self.stopped_by == "limit" else piece

    def copy(self) -> Row:
        """Another that goes on from here."""
        return Row(self.spelling.copy(), self.stops.copy(), list(self.recent), self.tokens, self.stopped_by)


@dataclass
class Piece:
    """What one token added: the row of the batch, the text, and the token with its log-probabilities."""

    row: int
    text: str
    token: int
    log_probability: float
    alternatives: list[tuple[int, float]] = field(default_factory=list)
    stopped_by: str = ""


@torch.no_grad()
def pieces(model: Predictor, decoder: Decoder, prompts: Sequence[Prompt], order: Order) -> Iterator[Piece]:
    """Write on from every prompt, a token of each row in turn, until all have ended.

    Args:
        model: what predicts.
        decoder: ids to text.
        prompts: 1 or more.
        order: what is wanted.
    """
    rows = [Row.after(prompt, decoder, order) for prompt in prompts]
    randoms = [_random(order.seed, prompt) for prompt in prompts]
    going = list(range(len(rows)))
    scores, state = model.start([prompt.ids for prompt in prompts])
    while True:
        recent = [rows[number].recent for number in going]
        drawn = order.sampling.draw(order.permitted(scores), recent, [randoms[number] for number in going])
        table = scores.numpy()
        chances = [table.item(place, token) for place, token in enumerate(drawn)]
        noted = _best(scores, order.alternatives) if order.alternatives else [[] for _ in drawn]
        for number, token, chance, others in zip(going, drawn, chances, noted, strict=True):
            text = rows[number].take(token, order)
            yield Piece(number, text, token, chance, others, rows[number].stopped_by)
        stay = [place for place, number in enumerate(going) if not rows[number].stopped_by]
        if not stay:
            return
        if len(stay) < len(going):
            state = model.select(state, torch.tensor(stay))
            going, drawn = [going[place] for place in stay], [drawn[place] for place in stay]
        scores, state = model.step(torch.tensor(drawn), state)


def generate(model: Predictor, decoder: Decoder, prompts: Sequence[Prompt], order: Order) -> list[Generated]:
    """The texts that `pieces` writes, whole, in the order of the prompts."""
    texts: list[Generated] = []
    for first in range(0, len(prompts), _ROWS):
        part = prompts[first : first + _ROWS]
        found: list[list[Piece]] = [[] for _ in part]
        for piece in pieces(model, decoder, part, order):
            found[piece.row].append(piece)
        texts += [_whole(row) for row in found]
    return texts


def _whole(row: Sequence[Piece]) -> Generated:
    text = Generated("".join(piece.text for piece in row))
    text.tokens = [piece.token for piece in row]
    text.log_probabilities = [piece.log_probability for piece in row]
    text.alternatives = [piece.alternatives for piece in row]
    text.stopped_by = row[-1].stopped_by
    return text


def _random(seed: int, prompt: Prompt) -> np.random.Generator:
    return np.random.default_rng([seed, prompt.sample, zlib.crc32(np.asarray(prompt.ids, dtype=np.int64).tobytes())])


def _best(scores: Tensor, count: int) -> list[list[tuple[int, float]]]:
    values, ids = scores.topk(min(count, scores.shape[-1]), dim=-1)
    return [list(zip(*row, strict=True)) for row in zip(ids.tolist(), values.tolist(), strict=True)]
