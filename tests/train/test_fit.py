"""The loop: it learns, keeps the best, stops when told, repeats itself, and leaves the caller's randomness alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gatework.train.fit import Loop, fit
from gatework.train.guard import DivergedError
from gatework.train.journal import Journal
from gatework.train.settings import Training
from tests.train.toy import Memory, Shuffled, regression, stopped, weights

QUICK = {"max_epochs": 8, "learning_rate": 0.02, "patience": 0}


def test_learns_and_keeps_the_best_weights():
    problem = regression()
    before = problem.validate(problem.net.eval())["mse"]
    outcome = fit(problem, Training(**QUICK | {"max_epochs": 40}))
    after = problem.validate(problem.net.eval())["mse"]
    assert after == pytest.approx(outcome.best_score)
    assert after == min(row["mse"] for row in outcome.history)
    assert after < before / 4
    assert outcome.reason == "epochs" and outcome.steps == 40 * len(problem.sampler)


def test_average_weights_are_what_validation_saw():
    problem = regression()
    outcome = fit(problem, Training(**QUICK, average=0.95))
    assert problem.validate(problem.net.eval())["mse"] == pytest.approx(outcome.best_score)


@pytest.mark.parametrize("setting", [{}, {"average": 0.9}, {"learning_rate": "auto"}, {"schedule": "cosine"}])
def test_same_seed_same_weights(setting: dict[str, Any]):
    first, second, other = regression(), regression(), regression()
    fit(first, Training(**QUICK | setting))
    torch.rand(7)  # what the caller draws in between changes nothing
    fit(second, Training(**QUICK | setting))
    fit(other, Training(**QUICK | setting, seed=1))
    assert torch.equal(weights(first.net), weights(second.net))
    assert not torch.equal(weights(first.net), weights(other.net))


def test_leaves_the_callers_randomness_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(regression(), Training(**QUICK))
    assert torch.equal(torch.rand(3), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_patience_stops_early():
    problem = regression()
    scores = iter([3.0, 2.0, 2.5, 2.4, 2.3, 2.2, 2.1, 1.0])
    problem.validate = lambda net: {"mse": next(scores)}
    outcome = fit(problem, Training(**QUICK | {"patience": 2}))
    assert outcome.reason == "patience"
    assert len(outcome.history) == 5 and outcome.best_epoch == 2
    assert [row["best"] for row in outcome.history] == [True, True, False, False, False]


def test_max_steps_ends_inside_an_epoch():
    outcome = fit(regression(), Training(**QUICK, max_steps=9))
    assert outcome.reason == "steps" and outcome.steps == 9 and outcome.history[-1]["step"] == 9


def test_without_held_out_data_the_last_weights_stay():
    problem = regression()
    problem.validate = None
    outcome = fit(problem, Training(**QUICK))
    assert outcome.best_score is None and "mse" not in outcome.history[0]


@pytest.mark.parametrize("stop_after", [1, 4, 6, 7, 13, 30])
def test_resume_is_exact_from_any_step(stop_after: int):
    settings = Training(**QUICK, average=0.9, checkpoint_seconds=0)
    whole, first, second = regression(), regression(), regression(seed=3)
    expected = fit(whole, settings)
    held = stopped(first, settings, stop_after)
    second.batch, second.validate = whole.batch, whole.validate  # same data, another initial network
    outcome = fit(second, settings, held)
    assert torch.equal(weights(second.net), weights(whole.net))
    assert [row["loss"] for row in outcome.history] == [row["loss"] for row in expected.history]


def test_resuming_a_finished_run_trains_no_further():
    settings, keeper, problem = Training(**QUICK), Memory(), regression()
    fit(problem, settings, keeper)
    again = regression()
    again.loss = lambda net, batch: pytest.fail("trained again")
    outcome = fit(again, settings, keeper)
    assert outcome.reason == "epochs" and torch.equal(weights(again.net), weights(problem.net))


def test_rows_after_the_checkpoint_are_rewritten():
    rows: list[dict[str, Any]] = [{"epoch": 1}, {"epoch": 99}]
    settings, keeper = Training(**QUICK), Memory()
    fit(regression(), settings, keeper)
    journal = Journal(append=rows.append, rewrite=lambda kept: rows.__setitem__(slice(None), kept))
    fit(regression(), settings, keeper, journal)
    assert [row["epoch"] for row in rows] == list(range(1, 9))


@pytest.mark.parametrize(
    ("place", "named"), [("layer", r"layer 1 \(Tanh\)"), ("loss", "the loss itself"), ("gradient", "the gradient of 0")]
)
def test_divergence_names_layer_step_and_batch(place: str, named: str):
    problem = regression()
    steps = {"seen": 0}

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            return grad * float("nan")

    loss = problem.loss

    def poisoned(net: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        steps["seen"] += 1
        value = loss(net, batch)
        if steps["seen"] < 3:
            return value
        if place == "layer":
            return loss(net, batch | {"x": batch["x"] * float("inf")})
        return value * float("nan") if place == "loss" else Wrong.apply(value)

    problem.loss = poisoned
    if place == "layer":
        problem.net[1].register_forward_hook(
            lambda module, given, out: out * float("nan") if steps["seen"] >= 3 else out
        )
        problem.loss = lambda net, batch: (steps.__setitem__("seen", steps["seen"] + 1), loss(net, batch))[1]
    with pytest.raises(DivergedError, match=rf"step 3 \(epoch 1, points \d+, .*{named}.*learning_rate"):
        fit(problem, Training(**QUICK))


def test_learning_rate_finder_is_sane_and_leaves_the_problem_alone():
    problem = regression()
    before, place = weights(problem.net), problem.sampler.state_dict()
    outcome_rate = Loop(problem, Training(learning_rate="auto"), None, Journal(), None)
    assert torch.equal(weights(problem.net), before) and problem.sampler.state_dict() == place
    assert 1e-4 < outcome_rate.learning_rate < 0.5
    assert len(outcome_rate.finder) > 20


def test_bf16_follows_fp32():
    full, half = regression(), regression()
    fit(full, Training(**QUICK | {"max_epochs": 30}))
    fit(half, Training(**QUICK | {"max_epochs": 30}, precision="bf16-mixed"))
    assert half.validate(half.net.eval())["mse"] == pytest.approx(full.validate(full.net.eval())["mse"], rel=0.5)


def test_sampler_of_the_toy_resumes():
    sampler = Shuffled(32, 8)
    passes = [numbers for _ in range(2) for numbers in sampler]
    assert len(passes) == 8 and not torch.equal(passes[0], passes[4])
