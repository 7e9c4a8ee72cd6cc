"""Groups of parameters: rates of their own, gradual unfreezing, what is carried, and exact resume through all of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gatework.train.finder import find_learning_rate
from gatework.train.fit import fit
from gatework.train.problem import Batch, Group, Problem
from gatework.train.settings import Training
from tests.train.toy import regression, stopped, weights

PLAIN = Training(max_epochs=4, learning_rate=0.02, schedule="constant", optimiser="sgd", weight_decay=0, patience=0)


def grouped(seed: int = 0, **of_the_first: Any) -> Problem:
    problem = regression(seed)
    first, last = problem.net[0], problem.net[3]
    problem.groups = [
        Group("first", list(first.parameters()), **of_the_first),
        Group("last", list(last.parameters())),
    ]
    return problem


class Carry:
    """A number that every step moves and the loss depends on, as the state carried over a stream does."""

    def __init__(self) -> None:
        self.value = torch.zeros(1)

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value = state["value"].clone()


def carrying(seed: int = 0) -> Problem:
    problem, carry = regression(seed), Carry()
    plain = problem.loss

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        found = plain(net, batch) * (1 + carry.value.tanh().abs().squeeze())
        carry.value = 0.9 * carry.value + batch["y"].mean()
        return found

    problem.loss, problem.carried = loss, carry
    return problem


def test_frozen_until_its_share_of_the_run():
    problem = grouped(thaw=0.5)
    before, seen = copy.deepcopy(problem.net), []
    plain, weight = problem.loss, problem.net[0].weight

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        seen.append((weight.requires_grad, torch.equal(weight, before[0].weight), weight.grad))
        return plain(net, batch)

    problem.loss = loss
    outcome = fit(problem, PLAIN)
    half = outcome.steps // 2
    assert [asks for asks, _, _ in seen] == [False] * half + [True] * half
    assert all(same and grad is None for _, same, grad in seen[:half])
    assert not torch.equal(problem.net[0].weight, before[0].weight)


def test_rate_scales_the_step():
    steps = {}
    for rate in (1.0, 0.25):
        problem = grouped(rate=rate)
        before = copy.deepcopy(problem.net)
        outcome = fit(problem, PLAIN.model_copy(update={"max_steps": 1}))
        steps[rate] = [problem.net[n].weight.detach() - before[n].weight for n in (0, 3)]
        assert outcome.history[0]["learning_rate"] == 0.02
    torch.testing.assert_close(steps[0.25][0], 0.25 * steps[1.0][0])
    torch.testing.assert_close(steps[0.25][1], steps[1.0][1])


def test_one_group_of_everything_is_no_group():
    plain, whole = regression(), regression()
    whole.groups = [Group("all", list(whole.net.parameters()))]
    for problem in (plain, whole):
        fit(problem, Training(max_epochs=2))
    assert torch.equal(weights(plain.net), weights(whole.net))


def test_what_the_application_froze_stays_frozen():
    problem = grouped(thaw=0.5)
    problem.net[0].bias.requires_grad_(False)
    before = problem.net[0].bias.detach().clone()
    fit(problem, PLAIN)
    assert torch.equal(problem.net[0].bias, before) and not problem.net[0].bias.requires_grad
    assert problem.net[0].weight.requires_grad


def test_all_are_free_after_a_run_that_failed():
    problem = grouped(thaw=1.0)
    stopped(problem, PLAIN, 4)
    assert all(p.requires_grad for p in problem.net.parameters())


@pytest.mark.parametrize("after", [3, 11, 12, 13, 20])
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_resume_is_exact_before_and_after_the_thaw(optimiser: str, after: int):
    settings = Training(max_epochs=4, learning_rate=0.02, optimiser=optimiser, checkpoint_seconds=0, average=0.9)
    whole, first, second = grouped(thaw=0.5, rate=0.3), grouped(thaw=0.5, rate=0.3), grouped(3, thaw=0.5, rate=0.3)
    fit(whole, settings)
    held = stopped(first, settings, after)
    second.batch, second.validate = whole.batch, whole.validate
    fit(second, settings, held)
    assert torch.equal(weights(second.net), weights(whole.net))


@pytest.mark.parametrize("after", [1, 8, 13])
def test_what_is_carried_resumes_exactly(after: int):
    settings = Training(max_epochs=4, learning_rate=0.02, checkpoint_seconds=0)
    whole, first, second = carrying(), carrying(), carrying(3)
    expected = fit(whole, settings)
    held = stopped(first, settings, after)
    second.batch, second.validate = whole.batch, whole.validate
    outcome = fit(second, settings, held)
    assert torch.equal(second.carried.value, whole.carried.value) and whole.carried.value != 0
    assert [row["loss"] for row in outcome.history] == [row["loss"] for row in expected.history]


def test_finder_respects_groups_and_leaves_what_is_carried():
    problem = carrying()
    problem.groups = [Group("first", list(problem.net[0].parameters()), thaw=0.5)]
    asked = []
    plain = problem.loss
    problem.loss = lambda net, batch: (asked.append(net[0].weight.requires_grad), plain(net, batch))[1]
    rate, rows = find_learning_rate(problem, Training())
    assert 1e-4 < rate < 1 and len(rows) > 10
    assert not any(asked) and all(p.requires_grad for p in problem.net.parameters())
    assert problem.carried.value == 0


def test_finder_sweeps_higher_without_adamw():
    _, rows = find_learning_rate(regression(), Training(optimiser="sgd"))
    assert rows[0]["learning_rate"] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: [Group("a", [net[0].weight], rate=0.0)], "rate 0.0 .* expected a rate above 0"),
        (lambda net: [Group("a", [net[0].weight], thaw=1.5)], "thaw 1.5; expected"),
        (lambda net: [Group("a", [nn.Parameter(torch.ones(2))])], r"'a' holds a parameter \[2\] that the network has"),
        (lambda net: [Group("a", [net[0].bias]), Group("b", [net[0].bias])], r"\[16\] is in groups 'a' and 'b'"),
        (lambda net: [Group("a", list(net.parameters()), thaw=0.1)], r"every group \(a\) is frozen at the start"),
    ],
)
def test_groups_that_cannot_be(change: Any, message: str):
    problem = regression()
    problem.groups = change(problem.net)
    with pytest.raises(ValueError, match=message):
        fit(problem, PLAIN)
