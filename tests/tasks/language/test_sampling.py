"""Draws: what may be set, and what comes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gatework.errors import InputError
from gatework.tasks.language.sampling import Sampling

P = torch.tensor([[0.5, 0.3, 0.15, 0.05]])


def draws(sampling: Sampling, count: int = 4000) -> np.ndarray:
    random = np.random.default_rng(0)
    scores = P.log().expand(count, -1)
    found = sampling.draw(scores, [[]] * count, [random] * count)
    return np.bincount(found, minlength=4) / count


def test_draws_follow_the_probabilities():
    np.testing.assert_allclose(draws(Sampling(temperature=1)), P[0].numpy(), atol=0.03)  # 0.03 is four deviations


def test_draws_follow_the_filtered_probabilities():
    powers = P[0].double().numpy() ** 2
    powers[2:] = 0
    np.testing.assert_allclose(draws(Sampling(temperature=0.5, top_k=2)), powers / powers.sum(), atol=0.03)


def test_zero_takes_the_most_probable_after_the_penalty():
    assert draws(Sampling(temperature=0)).tolist() == [1, 0, 0, 0]
    heavy = Sampling(temperature=0, repetition_penalty=4)
    assert heavy.draw(P.log(), [[0]], [np.random.default_rng(0)]) == [1]
    assert Sampling(temperature=0, no_repeat=1).draw(P.log(), [[0, 1]], [np.random.default_rng(0)]) == [2]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", "hot"),
        ("top_k", -1),
        ("top_k", 2.5),
        ("top_k", True),
        ("top_p", 0),
        ("top_p", 1.1),
        ("min_p", -1),
        ("typical", 0.0),
        ("repetition_penalty", 0),
        ("no_repeat", -2),
        ("window", 0),
    ],
)
def test_out_of_range(name: str, value: object):
    with pytest.raises(InputError, match=f"{name} is .*expected"):
        Sampling(**{name: value})


def test_a_negative_temperature_names_the_alternative():
    with pytest.raises(InputError, match="0 takes the most probable token"):
        Sampling(temperature=-1)
