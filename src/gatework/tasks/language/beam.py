"""Beam search: the most probable text a language model has, rather than a drawn one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gatework.tasks.language.generation import Generated, Order, Predictor, Prompt, Row
from gatework.tasks.language.writing import Decoder


@dataclass
class _Hypothesis:
    row: Row
    text: str
    tokens: list[int]
    chances: list[float]

    def grown(self, token: int, chance: float, order: Order) -> _Hypothesis:
        row = self.row.copy()
        text = self.text + row.take(token, order)
        return _Hypothesis(row, text, [*self.tokens, token], [*self.chances, chance])

    def score(self, length_power: float) -> float:
        return sum(self.chances) / _normaliser(len(self.tokens), length_power)

    def generated(self) -> Generated:
        text = Generated(self.text)
        text.tokens, text.log_probabilities, text.stopped_by = self.tokens, self.chances, self.row.stopped_by
        text.alternatives = [[] for _ in self.tokens]
        return text


@torch.no_grad()
def beam_search(
    model: Predictor, decoder: Decoder, prompt: Prompt, beams: int, order: Order, length_power: float = 1.0
) -> list[Generated]:
    """The best texts that go on from `prompt`, best first.

    Of all continuations the `beams` most probable are followed; those that end are ranked by log-probability over
    ((5 + length) / 6) ** length_power: 0 favours short texts. Recent tokens count as `order.sampling` says; its other
    filters, which are about drawing, do not.

    Args:
        model: what predicts.
        decoder: ids to text.
        prompt: what the texts go on from.
        beams: hypotheses followed side by side, 1 or more; 1 is greedy.
        order: limit, stop strings, ends.
        length_power: 0 or more.

    Returns:
        `beams` texts, or fewer where there are no more.

    Source: Wu et al., arXiv:1609.08144, section 7 (length normalisation, without coverage).
    """
    live = [_Hypothesis(Row.after(prompt, decoder, order), "", [], [])]
    done: list[_Hypothesis] = []
    scores, state = model.start([prompt.ids])
    while live:
        tokens, parents, live = _next(live, scores, order, beams, done)
        done = sorted(done, key=lambda one: -one.score(length_power))[:beams]
        if not live or (len(done) == beams and _hopeless(live, done, length_power)):
            break
        state = model.select(state, torch.tensor(parents))
        scores, state = model.step(torch.tensor(tokens), state)
    return [one.generated() for one in done]


def _next(
    live: Sequence[_Hypothesis], scores: Tensor, order: Order, beams: int, done: list[_Hypothesis]
) -> tuple[list[int], list[int], list[_Hypothesis]]:
    """The most probable `beams` continuations that go on, with last tokens and parents; ended ones go to `done`."""
    recent = [one.row.recent for one in live]
    allowed = order.sampling.penalised(order.permitted(scores), recent)
    sums = torch.tensor([sum(one.chances) for one in live], dtype=scores.dtype).unsqueeze(1)
    flat = (allowed + sums).flatten()
    best = flat.topk(min(beams * (len(order.ends) + 1), len(flat)))
    tokens: list[int] = []
    parents: list[int] = []
    going: list[_Hypothesis] = []
    for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        parent, token = divmod(place, scores.shape[-1])
        if score == -torch.inf or len(going) == beams:
            break
        grown = live[parent].grown(token, float(scores[parent, token]), order)
        if grown.row.stopped_by:
            done.append(grown)
        else:
            going.append(grown)
            tokens.append(token)
            parents.append(parent)
    return tokens, parents, going


def _hopeless(live: Sequence[_Hypothesis], done: Sequence[_Hypothesis], length_power: float) -> bool:
    """Whether no hypothesis, as it is now, beats the worst that is done; probabilities only fall."""
    return max(one.score(length_power) for one in live) <= done[-1].score(length_power)


def _normaliser(length: int, power: float) -> float:
    return float(((5 + length) / 6) ** power)
