"""Counting models of text, the baselines of a language model: unigrams, and trigrams with Kneser-Ney smoothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

_LEAST_DISCOUNT, _MOST_DISCOUNT = 0.1, 0.95  # where too few counts are 1 or 2 to estimate it


@dataclass
class _Level:
    """Discounted counts of runs of one length, looked up by key; what is taken off goes to the level below."""

    keys: Ints
    counts: Ints
    contexts: Ints
    totals: Reals
    followers: Ints
    discount: float

    @classmethod
    def of(cls, keys: Ints, counts: Ints, tokens: int) -> _Level:
        """From ascending keys, context * tokens + token, and how often each comes."""
        contexts, first, followers = np.unique(keys // tokens, return_index=True, return_counts=True)
        totals = np.add.reduceat(counts, first).astype(np.float64)
        once, twice = int((counts == 1).sum()), int((counts == 2).sum())
        discount = once / max(once + 2 * twice, 1)
        return cls(keys, counts, contexts, totals, followers, min(max(discount, _LEAST_DISCOUNT), _MOST_DISCOUNT))

    def chances(self, context: Ints, key: Ints, below: Reals) -> Reals:
        """Probabilities of tokens after contexts, given those that the level below says."""
        place, seen = _find(self.contexts, context)
        at, met = _find(self.keys, key)
        count = np.where(met, self.counts[at], 0)
        total, followers = self.totals[place], self.followers[place]
        own = (np.maximum(count - self.discount, 0) + self.discount * followers * below) / total
        return np.where(seen, own, below)


class Trigrams:
    """Interpolated Kneser-Ney of order 3 over token ids, and plain unigrams.

    Args:
        keys: of each run of three tokens that was seen, (first * V + second) * V + third, ascending.
        counts: how often.
        tokens: size V of the vocabulary.

    Source: Chen & Goodman, An empirical study of smoothing techniques for language modeling (1999), eq. 20-24, with the
    discount of Ney, Essen & Kneser (1994): n1 / (n1 + 2 n2). The lowest level is mixed with the uniform distribution.
    """

    def __init__(self, keys: Ints, counts: Ints, tokens: int) -> None:
        self.keys, self.counts, self.tokens = keys, counts, tokens
        self.frequencies = np.bincount(keys % tokens, weights=counts, minlength=tokens)
        pairs, fronts = np.unique(keys % tokens**2, return_counts=True)
        singles, befores = np.unique(pairs % tokens, return_counts=True)
        self._levels = (
            _Level.of(singles, befores, tokens),
            _Level.of(pairs, fronts, tokens),
            _Level.of(keys, counts, tokens),
        )

    @classmethod
    def of(cls, ids: Ints, tokens: int, most: int = 2_000_000) -> Trigrams:
        """Counted over the first `most` of `ids` [N], so that memory has a bound."""
        first, second, third = _runs(ids[:most])
        keys, counts = np.unique((first * tokens + second) * tokens + third, return_counts=True)
        return cls(keys, counts, tokens)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], tokens: int) -> Trigrams:
        """What `to_tensors` gave."""
        return cls(tensors["keys"].numpy(), tensors["counts"].numpy(), tokens)

    def to_tensors(self) -> dict[str, Tensor]:
        """The counts, for a file."""
        return {"keys": torch.from_numpy(self.keys), "counts": torch.from_numpy(self.counts)}

    def unigram(self, ids: Ints) -> Reals:
        """Surprisal [N - 1] in nats of every token of `ids` but the first; each count is one more than it was."""
        chances = (self.frequencies + 1) / (self.frequencies.sum() + self.tokens)
        return np.asarray(-np.log(chances[ids[1:]]))

    def trigram(self, ids: Ints) -> Reals:
        """Surprisal [N - 1] in nats of every token of `ids` but the first, given the two before it."""
        first, second, third = _runs(ids)
        V = self.tokens
        one, two, three = self._levels
        chances = one.chances(np.zeros_like(third), third, np.full(len(third), 1 / V))
        chances = two.chances(second, second * V + third, chances)
        chances = three.chances(first * V + second, (first * V + second) * V + third, chances)
        return np.asarray(-np.log(chances))


def _runs(ids: Ints) -> tuple[Ints, Ints, Ints]:
    """Every token but the first with the two before it; the first stands in for what is before the start."""
    ids = np.concatenate([ids[:1], np.asarray(ids, dtype=np.int64)])
    return ids[:-2], ids[1:-1], ids[2:]


def _find(known: Ints, wanted: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Where each of `wanted` stands in the ascending `known` (any place, when nowhere), and whether it does."""
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return place, known[place] == wanted
