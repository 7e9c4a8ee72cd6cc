"""Beam search against every text there is."""

from __future__ import annotations

import itertools

import pytest

from gatework.tasks.language.beam import beam_search
from gatework.tasks.language.generation import Order, Prompt, generate
from gatework.tasks.language.sampling import Sampling
from tests.tasks.language.markov import Letters, Markov


def every_text(model: Markov, prompt: list[int], limit: int, ends: set[int], power: float) -> list[tuple[float, tuple]]:
    """(score, tokens) of all texts of at most `limit` tokens that end in an end or at the limit, best first."""
    found = []
    for length in range(1, limit + 1):
        for tokens in itertools.product(range(5), repeat=length):
            if any(token in ends for token in tokens[:-1]) or (length < limit and tokens[-1] not in ends):
                continue
            found.append((model.chance(prompt, tokens) / ((5 + length) / 6) ** power, tokens))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_wide_beam_finds_the_best_texts(power: float, seed: int):
    model = Markov(V=5, seed=seed)
    order = Order(limit=4, ends=frozenset({2}))
    found = beam_search(model, Letters(), Prompt([3]), 600, order, power)
    expected = every_text(model, [3], 4, {2}, power)
    assert [tuple(text.tokens) for text in found[:20]] == [tokens for _, tokens in expected[:20]]


def test_one_beam_is_greedy():
    order = Order(limit=30, sampling=Sampling(temperature=0))
    assert beam_search(Markov(), Letters(), Prompt([3]), 1, order) == generate(
        Markov(), Letters(), [Prompt([3])], order
    )


def test_a_wider_beam_is_no_less_probable_at_full_length():
    chances = [
        sum(beam_search(Markov(seed=4), Letters(), Prompt([3]), beams, Order(limit=12))[0].log_probabilities)
        for beams in (1, 8, 64)
    ]
    assert chances[0] <= chances[1] <= chances[2]


def test_stops_ends_and_what_is_never_written():
    order = Order(limit=20, stops=("ab",), ends=frozenset({2}), never=(0, 1))
    found = beam_search(Markov(), Letters(), Prompt([3]), 6, order)
    assert {text.stopped_by for text in found} <= {"stop", "end", "limit"}
    for text in found:
        assert "ab" not in text
        assert "\n" not in text
        assert not {0, 1} & set(text.tokens)


def test_no_run_comes_twice():
    order = Order(limit=25, sampling=Sampling(no_repeat=2))
    for text in beam_search(Markov(spread=4), Letters(), Prompt([3, 4]), 3, order):
        every = [3, 4, *text.tokens]
        pairs = list(itertools.pairwise(every))
        assert len(set(pairs)) == len(pairs)
