"""From scores to tags: the best sequence, the N best, and how probable each tag and each entity is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from gatework.data.text.schemes import PLAIN, Span, spans
from gatework.nn.crf import CRF
from gatework.tasks.tagging.lexicon import Lexicon, TaggerInputs
from gatework.tasks.tagging.network import TaggerNet, consensus

_WORDS = 8192  # of a batch, padding included


@dataclass
class Sequenced:
    """One way to tag a sentence.

    Attributes:
        tags: a tag for each word, spelt as in the data.
        probability: of this sequence among all, 0 to 1.
        confidence: of each tag by itself, its marginal probability.
        entities: (start, stop, type, probability) of each.
    """

    tags: list[str]
    probability: float
    confidence: list[float] = field(default_factory=list)
    entities: list[tuple[int, int, str, float]] = field(default_factory=list)


@torch.no_grad()
def best_tags(nets: Sequence[nn.Module], lexicon: Lexicon, encoded: TaggerInputs) -> list[list[str]]:
    """The most probable tags of every sentence, spelt as in the data; [] for a sentence without words."""
    answers: list[list[str]] = [[] for _ in range(len(encoded.lengths))]
    taggers = cast(Sequence[TaggerNet], nets)
    crf = consensus(taggers)
    for numbers, scores, lengths in _scored(taggers, encoded):
        rows = crf.decode(scores, lengths).tolist()
        for sentence, row, length in zip(numbers.tolist(), rows, lengths.tolist(), strict=True):
            answers[sentence] = lexicon.spelt(row[:length])
    return answers


@torch.no_grad()
def sequences(
    nets: Sequence[nn.Module], lexicon: Lexicon, encoded: TaggerInputs, count: int = 1
) -> list[list[Sequenced]]:
    """The `count` most probable ways to tag each sentence, with the probabilities of tags and entities.

    A short sentence has fewer; one without words has none.
    """
    answers: list[list[Sequenced]] = [[] for _ in range(len(encoded.lengths))]
    taggers = cast(Sequence[TaggerNet], nets)
    crf, alike = consensus(taggers), lexicon.alike()
    for numbers, scores, lengths in _scored(taggers, encoded):
        paths, logs = crf.best(scores, lengths, count)  # [B, N, T], [B, N]
        share = crf.marginals(scores, lengths) @ alike.to(scores)
        beliefs = share.unsqueeze(1).expand(-1, paths.shape[1], -1, -1).gather(-1, paths.unsqueeze(-1)).squeeze(-1)
        rows = zip(
            numbers.tolist(), paths.tolist(), logs.double().tolist(), beliefs.tolist(), lengths.tolist(), strict=True
        )
        for sentence, ways, weights, confidences, length in rows:
            answers[sentence] = [
                Sequenced(lexicon.spelt(way[:length]), math.exp(weight), confidence[:length])
                for way, weight, confidence in zip(ways, weights, confidences, strict=True)
                if weight > -math.inf
            ]
        if lexicon.inside != PLAIN:
            _weigh(crf, lexicon, scores, lengths, [answers[sentence] for sentence in numbers.tolist()])
    return answers


def _weigh(crf: CRF, lexicon: Lexicon, scores: Tensor, lengths: Tensor, answers: Sequence[Sequence[Sequenced]]) -> None:
    """Give each entity its probability: what share of all sequences, by probability, has exactly this entity.

    Source: Culotta & McCallum, Confidence estimation for information extraction, HLT-NAACL 2004, section 3
    (constrained forward algorithm).
    """
    found = [
        (row, entity)
        for row, ways in enumerate(answers)
        for entity in dict.fromkeys(entity for way in ways for entity in spans(way.tags, lexicon.given))
    ]
    known: dict[tuple[int, Span], float] = {}
    size = max(_WORDS // max(scores.shape[1], 1), 1)
    for first in range(0, len(found), size):
        part = found[first : first + size]
        rows = torch.tensor([row for row, _ in part])
        shares = _shares(crf, lexicon, scores[rows], lengths[rows], [entity for _, entity in part])
        known |= dict(zip(part, shares.tolist(), strict=True))
    for row, ways in enumerate(answers):
        for way in ways:
            way.entities = [(*entity, known[row, entity]) for entity in spans(way.tags, lexicon.given)]


def _shares(crf: CRF, lexicon: Lexicon, scores: Tensor, lengths: Tensor, entities: Sequence[Span]) -> Tensor:
    """Probability [N] of an entity in each row of scores [N, T, K]."""
    lowest = torch.finfo(scores.dtype).min / 4  # finite: -inf times a probability of 0 would be nan
    inner = [
        (row, place, tag)
        for row, (start, stop, kind) in enumerate(entities)
        for place, tag in enumerate(lexicon.entity(stop - start, kind), start)
    ]
    rows, places, tags = torch.tensor(inner).T
    held = scores.clone()
    held[rows, places] = lowest
    held[rows, places, tags] = scores[rows, places, tags]
    after = [
        (row, stop, tag)
        for row, (_, stop, kind) in enumerate(entities)
        if stop < int(lengths[row]) and (tag := lexicon.going_on(kind)) is not None
    ]
    if after:  # where the tag after an entity could go on with it
        rows, places, tags = torch.tensor(after).T
        held[rows, places, tags] = lowest
    return (crf.total(held, lengths) - crf.total(scores, lengths)).exp().clamp(0, 1)


def _scored(nets: Sequence[TaggerNet], encoded: TaggerInputs) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(numbers [B], mean scores [B, T, K], lengths [B]) of batches of sentences of like length, in any order."""
    order = encoded.lengths.argsort(stable=True)
    order = order[encoded.lengths[order] > 0]
    for numbers in _batches(order, encoded.lengths[order].tolist()):
        batch = encoded.batch(numbers)
        scores = nets[0](batch) if len(nets) == 1 else torch.stack([net(batch) for net in nets]).mean(0)
        yield numbers, scores, batch["lengths"]


def _batches(order: Tensor, lengths: Sequence[int]) -> Iterator[Tensor]:
    """Sentences in `order`, from short to long, as many at once as fill _WORDS places, one at least."""
    first = 0
    for place, length in enumerate(lengths):
        if place > first and (place + 1 - first) * length > _WORDS:
            yield order[first:place]
            first = place
    if len(order):
        yield order[first:]
