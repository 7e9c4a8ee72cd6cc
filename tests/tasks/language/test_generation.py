"""Text drawn token by token: independent rows, ends, stop strings, the same thing streamed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gatework.errors import InputError
from gatework.tasks.language.generation import Order, Prompt, generate, pieces
from gatework.tasks.language.sampling import Sampling
from tests.tasks.language.markov import LETTERS, Letters, Markov

PROMPTS = [Prompt([3]), Prompt([2, 5, 4, 6]), Prompt([7, 7]), Prompt([3], sample=1)]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0),
        Sampling(top_k=3, repetition_penalty=1.3, no_repeat=3, window=10),
        Sampling(temperature=1.4, top_p=0.8, min_p=0.05, typical=0.9),
    ],
)
def test_a_row_does_not_depend_on_the_others(sampling: Sampling):
    order = Order(limit=40, sampling=sampling, ends=frozenset({2}), stops=("ab", "ffg"), alternatives=2)
    together = generate(Markov(), Letters(), PROMPTS, order)
    alone = [generate(Markov(), Letters(), [prompt], order)[0] for prompt in PROMPTS]
    assert together == alone
    assert [text.tokens for text in together] == [text.tokens for text in alone]
    assert [text.alternatives for text in together] == [text.alternatives for text in alone]


def test_more_rows_than_are_written_at_once():
    many = [Prompt([3 + n % 5], sample=n) for n in range(300)]
    order = Order(limit=5)
    assert generate(Markov(), Letters(), many, order)[290:] == generate(Markov(), Letters(), many[290:], order)


def test_seed_and_sample_choose_the_text():
    def text(seed: int, sample: int) -> str:
        return generate(Markov(), Letters(), [Prompt([3], sample=sample)], Order(limit=30, seed=seed))[0]

    assert text(0, 0) == text(0, 0)
    assert len({text(0, 0), text(1, 0), text(0, 1), text(1, 1)}) == 4


def test_log_probabilities_are_the_models_own():
    model = Markov()
    (found,) = generate(
        model, Letters(), [Prompt([3, 4])], Order(limit=20, sampling=Sampling(temperature=0.5, top_k=2))
    )
    assert sum(found.log_probabilities) == pytest.approx(model.chance([3, 4], found.tokens), abs=1e-4)


def test_drawn_frequencies():
    (found,) = generate(
        Markov(spread=0.5), Letters(), [Prompt([3])], Order(limit=6000, sampling=Sampling(temperature=1))
    )
    chain, counts = Markov(spread=0.5), np.zeros((8, 8, 8))
    for a, b, c in zip(found.tokens, found.tokens[1:], found.tokens[2:], strict=False):
        counts[a, b, c] += 1
    seen = counts.sum(-1)
    error = abs(counts / np.maximum(seen, 1)[..., None] - chain.table.exp().numpy()).max(-1)
    assert error[seen > 100].max() < 4 * np.sqrt(0.25 / 100)  # four deviations of a share


def test_alternatives_are_the_most_probable_in_order():
    (found,) = generate(Markov(), Letters(), [Prompt([3])], Order(limit=4, alternatives=3))
    table = Markov().table[[0, 3, *found.tokens][:4], [3, *found.tokens[:3]]]
    for noted, row in zip(found.alternatives, table, strict=True):
        assert [token for token, _ in noted] == row.topk(3).indices.tolist()
        assert [chance for _, chance in noted] == row.topk(3).values.tolist()


def test_what_ends_a_text():
    order = Order(limit=8, ends=frozenset({2}))
    texts = generate(Markov(), Letters(), [Prompt([3], sample=n) for n in range(20)], order)
    for text in texts:
        ended = text.tokens[-1] == 2
        assert text.stopped_by == ("end" if ended else "limit")
        assert "\n" not in text
        assert len(text) == len(text.tokens) - ended
    assert {text.stopped_by for text in texts} == {"end", "limit"}


def test_stop_strings_cut_the_text_before_them():
    free = generate(Markov(), Letters(), [Prompt([3])], Order(limit=60))[0]
    stop = free[20:23]
    (found,) = generate(Markov(), Letters(), [Prompt([3])], Order(limit=60, stops=(stop, "zzz")))
    assert found == free[: free.index(stop)]
    assert found.stopped_by == "stop"
    assert LETTERS[found.tokens[-1]] == stop[-1]


def test_a_half_of_a_stop_string_at_the_limit_is_text():
    free = generate(Markov(), Letters(), [Prompt([3])], Order(limit=10))[0]
    (found,) = generate(Markov(), Letters(), [Prompt([3])], Order(limit=10, stops=(free[-1] + "?",)))
    assert found == free


def test_ids_that_are_never_written():
    (found,) = generate(Markov(), Letters(), [Prompt([3])], Order(limit=300, never=(0, 1, 4)))
    assert set(found.tokens) == {2, 3, 5, 6, 7}


def test_pieces_come_one_step_of_the_model_each():
    model = Markov()
    stream = pieces(model, Letters(), [Prompt([3])], Order(limit=1_000_000))
    for number in range(5):
        next(stream)
        assert model.steps == number
    stream.close()


def test_rows_that_have_ended_cost_nothing():
    class Counting(Markov):
        rows = 0

        def step(self, ids, state):
            self.rows += len(ids)
            return super().step(ids, state)

    model = Counting()
    texts = generate(model, Letters(), PROMPTS, Order(limit=50, ends=frozenset({2, 5})))
    assert model.rows == sum(len(text.tokens) - 1 for text in texts)


def test_no_run_comes_twice():
    order = Order(limit=60, sampling=Sampling(no_repeat=3))
    (found,) = generate(Markov(spread=4), Letters(), [Prompt([3, 4])], order)
    every = [3, 4, *found.tokens]
    runs = [tuple(every[i : i + 3]) for i in range(len(every) - 2)]
    assert len(set(runs)) == len(runs)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1.5}, "limit"),
        ({"seed": -1}, "seed"),
        ({"alternatives": -1}, "alternatives"),
    ],
)
def test_orders_out_of_range(settings: dict, name: str):
    with pytest.raises(InputError, match=f"{name} is .*expected"):
        Order(**settings)


@pytest.mark.parametrize("stops", [("",), ("a", 3)])
def test_stop_strings_that_are_none(stops: tuple):
    with pytest.raises(InputError, match=r"stop is .*1 character or more"):
        Order(stops=stops)


def test_filters_never_leave_nothing():
    order = Order(limit=200, sampling=Sampling(no_repeat=1, top_k=1))
    (found,) = generate(Markov(), Letters(), [Prompt([3])], order)  # after 8 tokens all are ruled out
    assert len(found.tokens) == 200
    assert torch.isfinite(torch.tensor(found.log_probabilities)).all()
