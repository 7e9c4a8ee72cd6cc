"""The training of an application: which networks, one after the other, and everything that is kept of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from gatework.tasks.base import MODEL, WEIGHTS, Refit, Task, resume_command
from gatework.tasks.card import card
from gatework.tasks.plots import picture, rehearse
from gatework.train.jobs import Done, Job, fit_all
from gatework.train.journal import Journal
from gatework.train.problem import Problem
from gatework.train.settings import Training

if TYPE_CHECKING:
    from gatework.run import Run

_PICTURES = 10  # what is written after the training takes about as long as so many pictures; kept back from a limit
_SCORINGS = 2.0  # the conclusion about as long as so many validations: it scores the baselines as well
_MOST_CLOSING = 0.4  # of the limit
_FURTHER_STEPS, _FURTHER_RATE = 0.3, 0.3  # of the steps and the learning rate, when training goes further


class Fitting:
    """One fit of an application, or the rest of one that was stopped.

    Args:
        task: the application, its settings decided.
        run: its run folder, locked.
        dataset: what its `read` gave.
        started: `time.monotonic()` from which a time limit counts.
    """

    def __init__(self, task: Task, run: Run, dataset: Any, started: float) -> None:
        self._task, self._run, self._dataset, self._started = task, run, dataset, started
        self._before: list[Job] = []

    def run(self, said: list[str]) -> None:
        """Train from the run's checkpoint, if there is one, and save; `said` are the decisions, a list that grows."""
        task, run = self._task, self._run
        self._before = task.preparations(self._dataset)
        limit = task.config_.training.time_limit
        if limit is not None:
            closing = min(_PICTURES * rehearse(), _MOST_CLOSING * limit)
            limit = max(limit - (time.monotonic() - self._started) - closing, 0.0)
        done = fit_all([*self._before, *self._jobs()], run.checkpoint, _journal(run), limit)
        members = task.config_.members or 1
        own = done[len(self._before) :]
        nets = [problem.net.eval() for problem, _ in own]
        task.run_ = run
        task.nets_ = torch.nn.ModuleList(nets[:members])
        task.evaluation_ = task.conclude(self._dataset)
        task.nets_ = torch.nn.ModuleList(nets[-members:])
        self._save(done, said, time.monotonic() - self._started)

    def _problem(self, done: Done, seed: int, whole: bool) -> Problem:
        self._task.prepared_ = [problem.net for problem, _ in done[: len(self._before)]]
        return self._task.problem(self._dataset, seed, whole)

    def _jobs(self) -> list[Job]:
        """A training for each member; then, as `refit` says, one for each with the held-out part as well."""
        config = self._task.config_
        members, training, ahead = config.members or 1, config.training, len(self._before)
        refit: Refit = config.refit if config.holdout else "never"

        def first(seed: int, whole: bool) -> Callable[[Done], tuple[Problem, Training]]:
            own = training.model_copy(update={"seed": seed})
            return lambda done: (self._problem(done, seed, whole), own)

        def further(seed: int, member: int) -> Callable[[Done], tuple[Problem, Training]]:
            def make(done: Done) -> tuple[Problem, Training]:
                before, outcome = done[ahead + member]
                problem = self._problem(done, seed, whole=True)
                problem.net.load_state_dict(before.net.state_dict())
                steps = max(round(_FURTHER_STEPS * outcome.steps), 1)
                rate = _FURTHER_RATE * outcome.learning_rate
                update = {"seed": seed, "max_steps": steps, "max_epochs": None, "learning_rate": rate}
                return problem, training.model_copy(update=update)

            return make

        jobs, again = [], []
        for member in range(members):
            seed, labels = training.seed + member, {"member": member + 1} if members > 1 else {}
            jobs.append(Job(first(seed, False), seed, labels, scorings=_SCORINGS))
            if refit == "further":
                again.append(Job(further(seed, member), seed, {**labels, "refit": True}, _FURTHER_STEPS))
            elif refit == "afresh":
                again.append(Job(first(seed, True), seed, {**labels, "refit": True}))
        return jobs + again

    def _save(self, done: Done, said: list[str], seconds: float) -> None:
        task, run, ahead = self._task, self._run, len(self._before)
        problem, outcomes = done[ahead][0], [outcome for _, outcome in done]
        history = [row for outcome in outcomes[ahead:] for row in outcome.history if "refit" not in row]
        picture(run, "learning_curve", {"metric": problem.metric, "rows": history})
        if outcomes[ahead].finder:
            chosen = {"chosen": outcomes[ahead].learning_rate, "rows": outcomes[ahead].finder}
            picture(run, "learning_rate", chosen)
        run.write_tensors(WEIGHTS, task.nets_.state_dict())
        run.write_json(MODEL, {"task": task.name, "members": len(task.nets_), "learned": task.learned()})
        evaluation = task.evaluation_
        if evaluation is not None:
            evaluation.save(run)
        scores = evaluation.to_json() if evaluation else {"scores": None, "baselines": None, "larger": []}
        facts = {
            "status": "finished",
            "decisions": said,
            "score": scores["scores"],
            "baselines": scores["baselines"],
            "larger": scores["larger"],
            "stopped_by": [outcome.reason for outcome in outcomes],
            "steps": sum(outcome.steps for outcome in outcomes),
            "learning_rate": outcomes[ahead].learning_rate,
            "parameters": sum(p.numel() for p in task.nets_.parameters()),
            "seconds": round(seconds, 2),
        }
        run.write_text("README.md", card(type(task), run, facts, evaluation))
        run.record(**facts)


def _journal(run: Run) -> Journal:
    return Journal(
        append=lambda row: run.append_jsonl("metrics.jsonl", row),
        rewrite=lambda rows: run.write_jsonl("metrics.jsonl", rows),
        log=lambda line: run.append_text("log.txt", line),
        resume_command=resume_command(run),
    )
