"""Precision, recall and F1 of whole entities, by type and over all, as conlleval and seqeval count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gatework.data.text.schemes import Span


@dataclass(frozen=True)
class Quality:
    """Precision, recall and F1 of `found` entities, `right` of them, where there are `true` ones.

    What divides by zero is 0, as in seqeval.
    """

    right: int
    found: int
    true: int

    @property
    def precision(self) -> float:
        """Share of the entities found that are right, 0 to 1."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of the true entities that are found, 0 to 1."""
        return self.right / self.true if self.true else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1."""
        return 2 * self.right / (self.found + self.true) if self.right else 0.0


@dataclass(frozen=True)
class SpanScores:
    """How many entities of each type were there, were found and were right: same type, same first and last token.

    Attributes:
        types: {type: its quality}, in the order of their names.

    Source: Tjong Kim Sang & De Meulder (CoNLL 2003) and its program conlleval; seqeval's default mode gives the same
    numbers.
    """

    types: dict[str, Quality]

    @classmethod
    def of(cls, truth: Iterable[Sequence[Span]], found: Iterable[Sequence[Span]]) -> SpanScores:
        """Compare the entities of each sentence with the true ones.

        Args:
            truth: a list of (start, stop, type) for each sentence.
            found: the same for the model; as many sentences.

        Raises:
            ValueError: another number of sentences.
        """
        right, seen, true = Counter[str](), Counter[str](), Counter[str]()
        for expected, given in zip(truth, found, strict=True):
            true.update(kind for _, _, kind in expected)
            seen.update(kind for _, _, kind in given)
            right.update(kind for _, _, kind in set(expected) & set(given))
        return cls({kind: Quality(right[kind], seen[kind], true[kind]) for kind in sorted(true.keys() | seen.keys())})

    @property
    def micro(self) -> Quality:
        """All entities together, whatever their type: what is meant by "the F1" of a tagger."""
        every = self.types.values()
        return Quality(sum(q.right for q in every), sum(q.found for q in every), sum(q.true for q in every))

    def macro(self) -> tuple[float, float, float]:
        """Means over the types, each counting the same: precision, recall, F1; 0 where there is no type."""
        return self._mean([1] * len(self.types))

    def weighted(self) -> tuple[float, float, float]:
        """Means over the types, each counting as often as it occurs in truth: precision, recall, F1."""
        return self._mean([q.true for q in self.types.values()])

    def _mean(self, weights: Sequence[int]) -> tuple[float, float, float]:
        total = sum(weights) or 1
        pairs = list(zip(weights, self.types.values(), strict=True))
        return (
            sum(w * q.precision for w, q in pairs) / total,
            sum(w * q.recall for w, q in pairs) / total,
            sum(w * q.f1 for w, q in pairs) / total,
        )
