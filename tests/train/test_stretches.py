"""Epochs shorter or longer than a pass: the same steps, validated at other times, and resumed within one."""

from __future__ import annotations

import itertools

import pytest
import torch

from gatework.errors import ArtefactError
from gatework.train.fit import fit
from gatework.train.settings import Training
from gatework.train.stretches import Stretches, span
from tests.train.toy import Memory, Shuffled, regression, stopped, weights

LOOP = {"max_steps": 24, "learning_rate": 0.02, "patience": 0, "keep": "last", "checkpoint_seconds": 0}


def numbers(sampler, epochs: int) -> list[list[int]]:
    return [part.tolist() for part in itertools.chain.from_iterable(iter(sampler) for _ in range(epochs))]


@pytest.mark.parametrize("steps", [1, 4, 6, 9, 24])  # a pass of the six batches is 6
def test_the_same_steps_in_other_epochs(steps: int):
    stretched = Stretches(Shuffled(96, 16), steps)
    epochs = -(-24 // steps)
    assert len(stretched) == steps
    assert numbers(stretched, epochs)[:24] == numbers(Shuffled(96, 16), 4)


@pytest.mark.parametrize("taken", [0, 3, 4, 6, 11])
def test_a_place_is_kept_and_found_again(taken: int):
    whole = numbers(Stretches(Shuffled(96, 16), 4), 5)
    first, second = Stretches(Shuffled(96, 16), 4), Stretches(Shuffled(96, 16), 4)
    steps = itertools.chain.from_iterable(iter(first) for _ in itertools.count())
    for _ in range(taken):
        next(steps)
    second.load_state_dict(first.state_dict())
    assert numbers(second, 5)[: 20 - taken] == whole[taken:]
    with pytest.raises(ArtefactError, match="9 is not a place in an epoch of 4 steps"):
        second.load_state_dict({**first.state_dict(), "taken": 9})


def test_validated_when_it_is_asked_for():
    usual, often = regression(), regression()
    fit(usual, Training(**LOOP))
    outcome = fit(often, Training(**LOOP, steps_per_epoch=4))
    assert [row["step"] for row in outcome.history] == [4, 8, 12, 16, 20, 24]
    assert torch.equal(weights(usual.net), weights(often.net)), "validation changes nothing of the path"


@pytest.mark.parametrize("after", [3, 4, 7, 12])
def test_resumed_within_an_epoch(after: int):
    settings = Training(**LOOP, steps_per_epoch=5)
    whole, rest, keeper = regression(), regression(), Memory()
    fit(whole, settings)
    keeper.saved = stopped(regression(), settings, after).saved
    fit(rest, settings, keeper)
    assert torch.equal(weights(whole.net), weights(rest.net))


def test_passes_are_counted_in_steps_where_epochs_are_no_passes():
    assert span(Training(), 3, 7) == {"max_epochs": 3}
    assert span(Training(steps_per_epoch=5), 3, 7) == {"max_steps": 21}
