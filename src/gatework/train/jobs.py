"""Trainings one after the other, resumed as one run: the members of an ensemble, and a last pass over all the data."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gatework.train.fit import fit
from gatework.train.journal import Journal, Keeper, Outcome
from gatework.train.problem import Problem
from gatework.train.randomness import borrowed, seed_all
from gatework.train.settings import Training

Done = list[tuple[Problem, Outcome]]


@dataclass
class Job:
    """One training.

    Attributes:
        make: what is done so far -> the problem and its settings; called under the seed, so that the network it builds
            is initialised by that.
        seed: of the initial weights.
        labels: added to its rows of metrics.
        share: of a time limit, beside the other jobs' shares.
        scorings: how many times its held-out part is scored after the last job, within the limit.
    """

    make: Callable[[Done], tuple[Problem, Training]]
    seed: int
    labels: dict[str, Any] = field(default_factory=dict)
    share: float = 1.0
    scorings: float = 0.0


def fit_all(
    jobs: Sequence[Job], keeper: Keeper | None = None, journal: Journal | None = None, time_limit: float | None = None
) -> Done:
    """Train the jobs in turn; those that are done when a run is resumed are only loaded.

    Args:
        jobs: 1 or more; the settings of each are used as they are but for the time limit.
        keeper: holds the exact state of all of them.
        journal: takes their rows and lines.
        time_limit: seconds for all of them, over every process that works on the run; what is left is shared among
            those still to train. None = no limit.

    Returns:
        the problems, each with its best weights in its network, and how each run ended.
    """
    journal = journal or Journal()
    saved = keeper.load() if keeper else None
    shelf = _Shelf(keeper, saved["done"] if saved else [], saved["current"] if saved else None)
    done: Done = []
    making = 0.0  # seconds
    for number, job in enumerate(jobs):
        began = time.monotonic()
        with borrowed(deterministic=False):
            seed_all(job.seed)
            problem, settings = job.make(done)
        making += time.monotonic() - began
        if number < len(shelf.done):
            problem.net.load_state_dict(shelf.done[number]["net"])
            outcome = Outcome(**shelf.done[number]["outcome"])
        else:
            limit = None
            if time_limit is not None:
                left = max(time_limit - making - sum(map(_seconds, jobs, done)), 0.0)
                limit = left * job.share / sum(later.share for later in jobs[number:])
            earlier = [row for _, outcome in done for row in outcome.history]
            own = Journal(
                journal.append, _after(earlier, journal.rewrite), journal.log, journal.resume_command, job.labels
            )
            outcome = fit(problem, settings, shelf, own, limit, job.scorings)
            shelf.finish({"net": problem.net.state_dict(), "outcome": dict(vars(outcome))})
        done.append((problem, outcome))
    return done


def _seconds(job: Job, done: tuple[Problem, Outcome]) -> float:
    """What a job that is done takes of a limit, its scoring after the last one included."""
    outcome = done[1]
    return outcome.seconds + job.scorings * outcome.validation


def _after(
    earlier: list[dict[str, Any]], rewrite: Callable[[list[dict[str, Any]]], None]
) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: rewrite([*earlier, *rows])


class _Shelf:
    """Keeps the finished jobs beside the state of the one in training."""

    def __init__(self, keeper: Keeper | None, done: list[dict[str, Any]], current: dict[str, Any] | None) -> None:
        self._keeper = keeper
        self._current = current
        self.done = done

    def load(self) -> dict[str, Any] | None:
        current, self._current = self._current, None
        return current

    def save(self, state: dict[str, Any] | None) -> None:
        if self._keeper is not None:
            self._keeper.save({"done": self.done, "current": state})

    def finish(self, job: dict[str, Any]) -> None:
        self.done.append(job)
        self.save(None)
