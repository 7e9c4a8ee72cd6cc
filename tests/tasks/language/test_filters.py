"""Every filter against its definition, written out over one row in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gatework.tasks.language import filters


def rows(seed: int, V: int = 17) -> torch.Tensor:
    return (3 * torch.randn(5, V, generator=torch.Generator().manual_seed(seed))).log_softmax(-1)


def kept(scores: torch.Tensor) -> list[set[int]]:
    return [set(np.flatnonzero(np.isfinite(row)).tolist()) for row in scores.numpy()]


def smallest(order: np.ndarray, p: np.ndarray, mass: float) -> set[int]:
    chosen: set[int] = set()
    for token in order:
        chosen.add(int(token))
        if sum(p[list(chosen)]) >= mass:
            break
    return chosen


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_temperature(temperature: float):
    scores = rows(0)
    powers = np.exp(scores.double().numpy()) ** (1 / temperature)
    expected = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(filters.tempered(scores, temperature).exp().numpy(), expected, rtol=1e-4)


@pytest.mark.parametrize("k", [1, 4, 17, 40])
def test_top_k(k: int):
    scores = rows(1)
    assert kept(filters.top_k(scores, k)) == [set(np.argsort(-row)[:k].tolist()) for row in scores.numpy()]


def test_top_k_keeps_ties():
    assert kept(filters.top_k(torch.tensor([[0.4, 0.2, 0.2, 0.2]]).log(), 2)) == [{0, 1, 2, 3}]


@pytest.mark.parametrize("mass", [0.05, 0.5, 0.93])
def test_top_p(mass: float):
    p = np.exp(rows(2).double().numpy())
    assert kept(filters.top_p(rows(2), mass)) == [smallest(np.argsort(-row), row, mass) for row in p]


@pytest.mark.parametrize("share", [0.01, 0.2, 1.0])
def test_min_p(share: float):
    p = np.exp(rows(3).numpy())
    expected = [set(np.flatnonzero(row >= share * row.max() * (1 - 1e-6)).tolist()) for row in p]
    assert kept(filters.min_p(rows(3), share)) == expected


@pytest.mark.parametrize("mass", [0.1, 0.6, 0.95])
def test_typical(mass: float):
    expected = []
    for row in np.exp(rows(4).double().numpy()):
        entropy = -(row * np.log(row)).sum()
        expected.append(smallest(np.argsort(abs(-np.log(row) - entropy)), row, mass) | {int(row.argmax())})
    assert kept(filters.typical(rows(4), mass)) == expected


@pytest.mark.parametrize("name", ["top_p", "typical"])
def test_sets_after_another_filter_count_what_is_left(name: str):
    scores = filters.top_k(rows(5), 6)
    alone = scores.log_softmax(-1)
    assert kept(getattr(filters, name)(scores, 0.7)) == kept(getattr(filters, name)(alone, 0.7))
    assert all(0 < len(own) <= 6 for own in kept(getattr(filters, name)(scores, 0.7)))


def test_repetition_penalty():
    scores, recent = rows(6), [[3, 3, 5], [], [0], [16], [1, 2]]
    expected = scores.numpy().copy()
    for row, tokens in enumerate(recent):
        for token in set(tokens):
            expected[row, token] *= 1.5
    np.testing.assert_array_equal(filters.repetition_penalty(scores, recent, 1.5).numpy(), expected)
    np.testing.assert_array_equal(scores.numpy(), rows(6).numpy())


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_repeats(length: int):
    random = np.random.default_rng(length)
    for size in (0, 1, length - 1, length, 60):
        tokens = random.integers(0, 4, size).tolist()
        runs = {tuple(tokens[i : i + length]) for i in range(size - length + 1)}
        expected = [t for t in range(4) if size >= length - 1 and (*tokens[size - length + 1 :], t) in runs]
        assert filters.repeats(tokens, length) == expected


def test_no_repeat_rules_tokens_out_but_never_all():
    recent = [[0, 1, 0], [0, 1, 2]]
    found = filters.no_repeat(torch.zeros(2, 3), recent, 2)
    assert kept(found) == [{0, 2}, {0, 1, 2}]
    assert kept(filters.no_repeat(torch.zeros(1, 3), [[0, 1, 2]], 1)) == [{0, 1, 2}]


@pytest.mark.parametrize(("name", "value"), [("top_k", 1), ("top_p", 1e-9), ("min_p", 1.0), ("typical", 1e-9)])
def test_the_most_probable_token_always_stays(name: str, value: float):
    scores = rows(7)
    found = getattr(filters, name)(scores, value)
    best = scores.argmax(-1, keepdim=True)
    assert torch.isfinite(found.gather(1, best)).all()
