"""Optimisers, schedules, goals and averages: each as its source writes it, and exact on resume."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from gatework.train.fit import fit
from gatework.train.problem import Batch, Problem
from gatework.train.schedule import factor
from gatework.train.settings import Training
from tests.train.toy import regression, stopped, weights

STALLING = [5.0, 4.0, 4.5, 4.6, 4.7, 4.8, 4.05, 3.0, 3.5, 2.0, 2.5, 2.6]  # the 7th is no better than the 2nd


def scripted(scores: list[float], seed: int = 0) -> tuple[Problem, list[Tensor]]:
    """A regression whose validations give `scores`, and the weights that each of them saw."""
    problem, seen = regression(seed), []

    def validate(net: nn.Module) -> dict[str, float]:
        seen.append(weights(net).clone())
        return {"mse": scores[len(seen) - 1]}

    problem.validate = validate
    return problem, seen


def descent(**more: object) -> Training:
    given = {"learning_rate": 0.05, "schedule": "constant", "optimiser": "nt-asgd", "patience": 0, "max_epochs": 12}
    return Training(**given | more)


def test_larger_is_better_where_the_goal_says_so():
    problem, seen = scripted([0.1, 0.5, 0.4, 0.45, 0.3, 0.9])
    problem.goal = "larger"
    outcome = fit(problem, Training(max_epochs=6, patience=2))
    assert outcome.reason == "patience" and (outcome.best_score, outcome.best_epoch) == (0.5, 2)
    assert [row["best"] for row in outcome.history] == [True, True, False, False, False]
    assert torch.equal(weights(problem.net), seen[1])


def test_nan_is_never_the_best():
    problem, seen = scripted([float("nan"), 2.0, float("nan")])
    outcome = fit(problem, Training(max_epochs=3))
    assert (outcome.best_score, outcome.best_epoch) == (2.0, 2) and torch.equal(weights(problem.net), seen[1])


def test_sgd_is_gradient_descent_with_decay_on_matrices():
    problem = regression()
    problem.net.eval()
    drawn: list[Batch] = []
    batch = problem.batch
    problem.batch = lambda numbers: (drawn.append(batch(numbers)), drawn[-1])[1]
    problem.net[2].p = 0.0
    before = {name: p.detach().clone() for name, p in problem.net.named_parameters()}
    gradients = torch.autograd.grad(
        problem.loss(problem.net, batch(next(iter(regression().sampler)))), list(problem.net.parameters())
    )
    settings = descent(optimiser="sgd", max_steps=1, weight_decay=0.1, clip_norm=1e9)
    fit(problem, settings)
    for (name, p), gradient in zip(problem.net.named_parameters(), gradients, strict=True):
        decay = 0.1 if p.ndim > 1 else 0.0
        torch.testing.assert_close(p.detach(), before[name] - 0.05 * (gradient + decay * before[name]))


def test_averaging_begins_where_the_paper_says():
    """Algorithm 1, with the scores in hand: before it the weights themselves are validated, from then their mean."""
    problem, seen = scripted(STALLING)
    after_step: list[Tensor] = []
    loss = problem.loss
    problem.loss = lambda net, batch: (after_step.append(weights(problem.net).clone()), loss(net, batch))[1]
    outcome = fit(problem, descent())
    after_step = [*after_step[1:], weights(problem.net)]  # the weights after each step; the last is not looked at
    per_epoch = len(problem.sampler)
    start = next(t for t in range(5, 12) if STALLING[t] >= min(STALLING[: t - 4]))
    assert start == 6
    for epoch in range(start + 1):
        assert torch.equal(seen[epoch], after_step[(epoch + 1) * per_epoch - 1])
    for epoch in range(start + 1, 11):
        mean = torch.stack(after_step[(start + 1) * per_epoch - 1 : (epoch + 1) * per_epoch]).mean(0)
        torch.testing.assert_close(seen[epoch], mean)
    assert outcome.best_epoch == 10 and torch.equal(weights(problem.net), seen[9])


def test_patience_counts_from_the_average():
    problem, _ = scripted([1.0] + [2.0] * 11)
    outcome = fit(problem, descent(patience=2))
    assert outcome.reason == "patience" and len(outcome.history) == 6 + 3


@pytest.mark.parametrize("after", [20, 41, 42, 43, 44, 60])
def test_resume_is_exact_across_the_average(after: int):
    settings = descent(checkpoint_seconds=0, keep="last")
    whole, first = scripted(STALLING)[0], scripted(STALLING)[0]
    expected = fit(whole, settings)
    held = stopped(first, settings, after)
    done = len(held.saved["history"])
    second, _ = scripted(STALLING[done:], seed=3)
    second.batch = whole.batch
    outcome = fit(second, settings, held)
    assert torch.equal(weights(second.net), weights(whole.net))
    assert [row["loss"] for row in outcome.history] == [row["loss"] for row in expected.history]


def test_without_held_out_data_the_second_half_is_averaged():
    problem = regression()
    problem.validate = None
    after_step: list[Tensor] = []
    loss = problem.loss
    problem.loss = lambda net, batch: (after_step.append(weights(problem.net).clone()), loss(net, batch))[1]
    fit(problem, descent(max_epochs=4))
    plain = regression()
    plain.validate = None
    fit(plain, descent(max_epochs=4, optimiser="sgd"))
    after_step = [*after_step[1:], weights(plain.net)]
    torch.testing.assert_close(weights(problem.net), torch.stack(after_step[len(after_step) // 2 - 1 :]).mean(0))


def test_nt_asgd_refuses_a_second_average():
    with pytest.raises(ValidationError, match=r"leave average at 0 \(it is 0.9\)"):
        descent(average=0.9)


def test_tied_weights_are_kept_as_averaged():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    net[1].weight = net[0].weight
    problem, seen = scripted([2.0, 1.0, 3.0])
    problem.net = net
    problem.loss = lambda net, batch: (net(batch["x"].expand(-1, 3)) - batch["y"]).square().mean()
    fit(problem, Training(max_epochs=3, average=0.9, learning_rate=0.1))
    assert net[0].weight is net[1].weight and torch.equal(weights(net), seen[1])


def test_slanted_is_equation_3():
    total, cut_frac, ratio = 1000, 0.1, 32
    cut = int(total * cut_frac)
    for t in range(0, total + 1, 7):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        assert factor("slanted", t / total) == pytest.approx((1 + p * (ratio - 1)) / ratio)
