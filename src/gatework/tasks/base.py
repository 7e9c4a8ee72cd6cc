"""What every application shares: the verbs, the run folder, saving and loading.

An application is one file in this folder: a class derived from `Task` with a `Config` (a pydantic model derived from
`TaskConfig`) and the hooks below. fit, predict, evaluate, resume, the command line, the settings file and the model
card follow from them.

torch and the training loop are imported by the first `fit` or `load`, so that help and settings answer at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from gatework.errors import GateworkError, InputError, StorageError
from gatework.say import recording, say
from gatework.tasks.card import card
from gatework.tasks.config import flatten, to_yaml
from gatework.tasks.estimator import Estimator
from gatework.train.settings import Training

if TYPE_CHECKING:
    from torch import nn

    from gatework.run import Run
    from gatework.tasks.evaluation import Evaluation
    from gatework.train.fit import Journal
    from gatework.train.jobs import Done, Job
    from gatework.train.problem import Problem

_PICTURES = 10  # what follows the training takes about as long as drawing so many pictures; kept back from a limit
_MOST_CLOSING = 0.4  # of the limit
_FURTHER_STEPS, _FURTHER_RATE = 0.3, 0.3  # of the steps and the learning rate, when training goes further

Refit = Literal["further", "afresh", "never"]

WEIGHTS, MODEL, CONFIG = "model/weights.safetensors", "model/model.json", "config.yaml"


class TaskConfig(BaseModel):
    """Settings every application has; its own come before these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: int | None = Field(
        default=None, ge=1, le=100, description="networks trained with different seeds and averaged; none = chosen"
    )
    holdout: int | None = Field(default=None, ge=0, description="size of the held-out part; none = chosen")
    refit: Refit | None = Field(
        default=None,
        description="the held-out part, once scored: train further with it, afresh on all, or never; none = chosen",
    )
    runs: str = Field(default="runs", min_length=1, description="folder in which the run's folder is made")
    training: Training = Training()


class Task(Estimator):
    """Base of every application.

    Attributes after `fit` or `load`:
        run_: the run folder.
        config_: the settings, with everything that was left open decided.
        nets_: the trained networks, a ModuleList of `members`.
        evaluation_: scores on the held-out part beside the baseline's; None where nothing was held out.
    """

    Config: ClassVar[type[BaseModel]]
    name: ClassVar[str]

    run_: Run
    config_: Any
    nets_: nn.ModuleList
    evaluation_: Evaluation | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.__module__.rpartition(".")[2]

    # Hooks: what an application says about itself.

    def read(self, data: Any) -> Any:
        """The data as a data set with `data_hash()`, checked against `config_`; raises InputError."""
        raise NotImplementedError

    def decide(self, dataset: Any) -> Any:
        """`config_` with every setting that was left open ("auto") decided from the data, and said."""
        return self.config_

    def problem(self, dataset: Any, seed: int, whole: bool) -> Problem:
        """A fresh network and what trains it, on all but the held-out part or on the `whole`. Called under `seed`."""
        raise NotImplementedError

    def conclude(self, dataset: Any) -> Evaluation | None:
        """When `nets_` are trained on all but the held-out part: calibrate, and score it; None if there is none."""
        raise NotImplementedError

    def learned(self) -> dict[str, Any]:
        """What `restore` needs beside settings and weights, as JSON."""
        raise NotImplementedError

    def restore(self, learned: dict[str, Any]) -> Callable[[], nn.Module]:
        """Take back what `learned` gave; returns what builds an untrained network of the right shape."""
        raise NotImplementedError

    def predict(self, data: Any) -> Any:
        """A frame of predictions, of the kind that `data` is."""
        raise NotImplementedError

    def evaluate(self, data: Any) -> Evaluation:
        """Scores on `data` beside the baseline's; printed by `str`, saved in the run."""
        raise NotImplementedError

    @classmethod
    def synthesise(cls, seed: int = 0) -> Any:
        """A small valid frame to try the application on."""
        raise NotImplementedError

    # Verbs.

    def fit(self, data: Any) -> Self:
        """Train on `data` and keep everything in a new run folder (`run_`).

        Args:
            data: a frame, or the path of a file.

        Raises:
            ConfigError: a setting does not fit.
            InputError: the data cannot be used; says what, where and how to mend it.
            StorageError: the run folder cannot be written.
            KeyboardInterrupt: Ctrl-C; the state is saved and the command that goes on is said.
        """
        from gatework.run import Run

        started = time.monotonic()
        self.config_ = self.settings()
        with recording() as said:
            dataset = self.read(data)
            self.config_ = self.decide(dataset)
            path = str(Path(data).resolve()) if isinstance(data, (str, Path)) else None
            source = {"path": path, "hash": dataset.data_hash()}
            run = Run.create(self.name, self.config_.runs, seed=self.config_.training.seed, data=source)
            run.write_text(CONFIG, to_yaml(self.Config, flatten(self.config_)))
            return self.train(run, dataset, said, started)

    def check_trained(self) -> None:
        """Raise InputError before `fit` or `load`."""
        if not hasattr(self, "nets_"):
            raise InputError(f"this {type(self).__name__} is not trained yet; call fit(data), or gatework.load(run).")

    def record_evaluation(self, evaluation: Evaluation) -> Evaluation:
        """Save it in the run's evaluations/, numbered; where that cannot be written, this is said and no more."""
        number = 1
        while self.run_.has(f"evaluations/{number:03d}/evaluation.json"):
            number += 1
        try:
            evaluation.save(self.run_, f"evaluations/{number:03d}/")
        except StorageError as error:
            say(f"the evaluation is not saved: {error}")
        return evaluation

    def train(self, run: Run, dataset: Any, said: list[str], started: float) -> Self:
        """The part of `fit` and `resume` after reading: train in `run`, from its checkpoint if there is one, and save.

        Args:
            run: the run folder.
            dataset: what `read` gave.
            said: the decisions so far, a list that grows.
            started: `time.monotonic()` from which a time limit counts.
        """
        import torch

        from gatework.tasks.plots import rehearse
        from gatework.train.jobs import fit_all

        limit = self.config_.training.time_limit
        if limit is not None:
            closing = min(_PICTURES * rehearse(), _MOST_CLOSING * limit)
            limit = max(limit - (time.monotonic() - started) - closing, 0.0)
        with run.lock():
            run.record(status="running", decisions=said)
            try:
                done = fit_all(self._jobs(dataset), run.checkpoint, _journal(run), limit)
                members = self.config_.members or 1
                nets = [problem.net.eval() for problem, _ in done]
                self.run_ = run
                self.nets_ = torch.nn.ModuleList(nets[:members])
                self.evaluation_ = self.conclude(dataset)
                self.nets_ = torch.nn.ModuleList(nets[-members:])
                self._save(run, done, said, time.monotonic() - started)
            except KeyboardInterrupt as stop:
                run.record(status="stopped", decisions=said)
                if not stop.args:
                    say(f"stopped. Continue with: {resume_command(run)}")
                raise
            except GateworkError as error:
                run.record(status="failed", decisions=said, problem=str(error))
                raise
        say(f"run saved in {run.path}")
        return self

    def _jobs(self, dataset: Any) -> list[Job]:
        """A training for each member; then, as `refit` says, one for each with the held-out part as well."""
        from gatework.train.jobs import Job

        members, training = self.config_.members or 1, self.config_.training
        refit: Refit = self.config_.refit if self.config_.holdout else "never"

        def first(seed: int, whole: bool) -> Callable[[Done], tuple[Problem, Training]]:
            own = training.model_copy(update={"seed": seed})
            return lambda done: (self.problem(dataset, seed, whole), own)

        def further(seed: int, member: int) -> Callable[[Done], tuple[Problem, Training]]:
            def make(done: Done) -> tuple[Problem, Training]:
                before, outcome = done[member]
                problem = self.problem(dataset, seed, whole=True)
                problem.net.load_state_dict(before.net.state_dict())
                steps = max(round(_FURTHER_STEPS * outcome.steps), 1)
                rate = _FURTHER_RATE * outcome.learning_rate
                update = {"seed": seed, "max_steps": steps, "max_epochs": None, "learning_rate": rate}
                return problem, training.model_copy(update=update)

            return make

        jobs, again = [], []
        for member in range(members):
            seed, labels = training.seed + member, {"member": member + 1} if members > 1 else {}
            jobs.append(Job(first(seed, False), seed, labels))
            if refit == "further":
                again.append(Job(further(seed, member), seed, {**labels, "refit": True}, _FURTHER_STEPS))
            elif refit == "afresh":
                again.append(Job(first(seed, True), seed, {**labels, "refit": True}))
        return jobs + again

    def _save(self, run: Run, done: Done, said: list[str], seconds: float) -> None:
        from gatework.tasks.plots import picture

        outcomes, metric = [outcome for _, outcome in done], done[0][0].metric
        history = [row for outcome in outcomes for row in outcome.history if "refit" not in row]
        picture(run, "learning_curve", {"metric": metric, "rows": history})
        if outcomes[0].finder:
            picture(run, "learning_rate", {"chosen": outcomes[0].learning_rate, "rows": outcomes[0].finder})
        run.write_tensors(WEIGHTS, self.nets_.state_dict())
        run.write_json(MODEL, {"task": self.name, "members": len(self.nets_), "learned": self.learned()})
        evaluation = self.evaluation_
        if evaluation is not None:
            evaluation.save(run)
        scores = evaluation.to_json() if evaluation else {"scores": None, "baseline_scores": None}
        facts = {
            "status": "finished",
            "decisions": said,
            "score": scores["scores"],
            "baseline": scores["baseline_scores"],
            "stopped_by": [outcome.reason for outcome in outcomes],
            "steps": sum(outcome.steps for outcome in outcomes),
            "learning_rate": outcomes[0].learning_rate,
            "parameters": sum(p.numel() for p in self.nets_.parameters()),
            "seconds": round(seconds, 2),
        }
        run.write_text("README.md", card(type(self).__doc__ or "", run, facts, evaluation))
        run.record(**facts)


def _journal(run: Run) -> Journal:
    from gatework.train.fit import Journal

    return Journal(
        append=lambda row: run.append_jsonl("metrics.jsonl", row),
        rewrite=lambda rows: run.write_jsonl("metrics.jsonl", rows),
        log=lambda line: run.append_text("log.txt", line),
        resume_command=resume_command(run),
    )


def resume_command(run: Run) -> str:
    """What goes on with a stopped run, typed into a shell."""
    return f"gatework resume {run.path}"
