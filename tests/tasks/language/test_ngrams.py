"""Kneser-Ney against its formula with dictionaries."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from gatework.tasks.language.ngrams import Trigrams

V = 6


def text(seed: int, size: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.choice(V, size=size, p=[0.4, 0.25, 0.2, 0.1, 0.05, 0.0])


def discount(counts: Counter) -> float:
    once, twice = (sum(c == n for c in counts.values()) for n in (1, 2))
    return min(max(once / max(once + 2 * twice, 1), 0.1), 0.95)


def kneser_ney(ids: np.ndarray, a: int, b: int, c: int) -> float:
    """p(c | a, b) by the definition: interpolated, absolute discounts, continuation counts below."""
    padded = [ids[0], *ids]
    three = Counter(zip(padded, padded[1:], padded[2:], strict=False))
    two = Counter((y, z) for _, y, z in three)
    one = Counter(z for _, z in two)

    def level(counts: Counter, key: tuple, own: float, below: float) -> float:
        context = {k: n for k, n in counts.items() if k[:-1] == key[:-1]}
        total = sum(context.values())
        if not total:
            return below
        return (max(counts[key] - own, 0) + own * len(context) * below) / total

    p = level(Counter({(z,): n for z, n in one.items()}), (c,), discount(one), 1 / V)
    p = level(two, (b, c), discount(two), p)
    return level(three, (a, b, c), discount(three), p)


@pytest.mark.parametrize("seed", range(3))
def test_trigrams(seed: int):
    train, other = text(seed, 80), np.random.default_rng(seed).integers(0, V, 60)
    found = Trigrams.of(train, V).trigram(other)
    padded = [other[0], *other]
    expected = [-np.log(kneser_ney(train, *padded[i : i + 3])) for i in range(len(other) - 1)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("pair", [(0, 1), (4, 4), (5, 0), (5, 5)])
def test_probabilities_sum_to_one(pair: tuple[int, int]):
    counts = Trigrams.of(text(0, 200), V)
    total = sum(np.exp(-counts.trigram(np.array([*pair, c]))[-1]) for c in range(V))
    assert total == pytest.approx(1)


def test_unigrams():
    train = text(1, 100)
    seen = np.bincount(train[1:], minlength=V)
    expected = -np.log((seen + 1) / (99 + V))
    np.testing.assert_allclose(Trigrams.of(train, V).unigram(np.arange(V)), expected[1:])


def test_tensors_give_the_same_model_back():
    counts = Trigrams.of(text(2, 300), V)
    again = Trigrams.from_tensors(counts.to_tensors(), V)
    np.testing.assert_array_equal(again.trigram(text(3, 50)), counts.trigram(text(3, 50)))


def test_memory_has_a_bound():
    counts = Trigrams.of(np.random.default_rng(0).integers(0, 1000, 50_000), 1000, most=10_000)
    assert len(counts.keys) < 10_000


def test_many_tokens_do_not_overflow():
    V = 1_000_000
    ids = np.array([V - 1, V - 2, V - 1, V - 2, V - 1, V - 2])
    assert np.exp(-Trigrams.of(ids, V).trigram(ids)[-1]) > 0.5
