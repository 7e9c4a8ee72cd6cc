"""A time limit is kept, whatever it has to be shared among, and the schedule shrinks to it."""

from __future__ import annotations

import pytest
import torch

from gatework.train import fit as loop
from gatework.train import jobs, schedule
from gatework.train.jobs import Job, fit_all
from gatework.train.problem import Problem
from gatework.train.settings import Training
from tests.train.toy import Memory, regression, weights
from tests.train.watch import Watch

ENDLESS = Training(max_epochs=1000, learning_rate=0.02, patience=0)
STEP, VALIDATION = 0.05, 0.2


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    made.worn_by(monkeypatch, loop, jobs, schedule)
    return made


def slow(watch: Watch, validated: bool = True) -> Problem:
    problem = regression()
    problem.batch = watch.lasting(STEP, problem.batch)
    problem.validate = watch.lasting(VALIDATION, problem.validate) if validated else None
    return problem


@pytest.mark.parametrize("limit", [2.0, 20.0])
@pytest.mark.parametrize("scorings", [0, 2])
def test_loop(watch: Watch, limit: float, scorings: int):
    began = watch.seconds
    outcome = loop.fit(slow(watch), ENDLESS, time_limit=limit, scorings=scorings)
    left = limit - scorings * VALIDATION
    assert left - VALIDATION <= watch.seconds - began <= left + STEP + 1e-6
    assert outcome.reason == "time" and outcome.seconds == watch.seconds - began
    assert outcome.history[-1]["learning_rate"] < 0.02 * 0.05


def test_no_limit_is_none(watch: Watch):
    outcome = loop.fit(slow(watch), Training(max_epochs=30, learning_rate=0.02, patience=0))
    assert outcome.reason == "epochs" and outcome.validation == pytest.approx(VALIDATION)


def test_one_limit_for_several_trainings_and_what_follows_them(watch: Watch):
    """Two that are scored again in the end, and one on all the data, each of which takes a second to begin."""
    began, problems = watch.seconds, (True, True, False)
    chain = [Job(watch.lasting(1.0, lambda done, v=v: (slow(watch, v), ENDLESS)), 0, scorings=2.0) for v in problems]
    done = fit_all(chain, time_limit=30.0)
    spent = watch.seconds - began + 2 * 2 * VALIDATION
    assert 30.0 - 1.0 - 3 * STEP <= spent <= 30.0 + 3 * STEP
    assert [outcome.reason for _, outcome in done] == ["time"] * 3
    first, *_, last = (outcome.seconds for _, outcome in done)
    assert first == pytest.approx(last, abs=1.5)


def test_what_was_spent_before_a_resume_counts(watch: Watch):
    class Stops(Memory):
        def save(self, state):
            super().save(state)
            if watch.seconds - began > 6:
                raise ConnectionAbortedError

    began, keeper = watch.seconds, Stops()
    with pytest.raises(ConnectionAbortedError):
        fit_all([Job(lambda done: (slow(watch), ENDLESS), 0)], keeper, time_limit=10.0)
    held = Memory()
    held.saved = keeper.saved
    watch.seconds += 1000
    again = watch.seconds
    ((problem, outcome),) = fit_all([Job(lambda done: (slow(watch), ENDLESS), 0)], held, time_limit=10.0)
    assert watch.seconds - again == pytest.approx(4.0, abs=1.0)
    assert outcome.reason == "time" and torch.isfinite(weights(problem.net)).all()


def test_machines_clock():
    assert loop.fit(regression(), ENDLESS.model_copy(update={"max_epochs": 10**6, "time_limit": 0.3})).reason == "time"
