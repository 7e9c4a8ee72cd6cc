"""What every application shares: the verbs, the run folder, saving and loading.

An application is one file in this folder: a class derived from `Task` with a `Config` (a pydantic model with a `runs` folder,
a number of `members` and a `training` group), and the hooks below. fit, predict, evaluate, resume, the command line, the
settings file and the model card follow from them.

torch and the training loop are imported by the first `fit` or `load`, so that help and settings answer at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, Field

from gatework.errors import ArtefactError, GateworkError, InputError, StorageError
from gatework.say import recording, say
from gatework.tasks.card import card
from gatework.tasks.config import flatten, read_yaml, settle, to_yaml
from gatework.tasks.estimator import Estimator
from gatework.train.settings import Training

if TYPE_CHECKING:
    from torch import nn

    from gatework.run import Run
    from gatework.tasks.evaluation import Evaluation
    from gatework.train.fit import Journal, Outcome
    from gatework.train.problem import Problem

_WEIGHTS, _MODEL, _CONFIG = "model/weights.safetensors", "model/model.json", "config.yaml"


class TaskConfig(BaseModel):
    """Settings every application has; its own come before these."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    members: int = Field(1, ge=1, le=100, description="networks trained with different seeds and averaged")
    runs: str = Field("runs", min_length=1, description="folder in which the run's folder is made")
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
    closing_seconds: ClassVar[float] = 2.0  # kept back from a time limit for what follows the training

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

    def problem(self, dataset: Any, seed: int) -> Problem:
        """A fresh network and what trains it. Called under `seed`."""
        raise NotImplementedError

    def conclude(self, dataset: Any) -> Evaluation | None:
        """After training, when `nets_` is set: calibrate, and score the held-out part if there is one."""
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
            run.write_text(_CONFIG, to_yaml(self.Config, flatten(self.config_)))
            return self._train(run, dataset, said, started)

    def check_trained(self) -> None:
        """Raise InputError before `fit` or `load`."""
        if not hasattr(self, "nets_"):
            raise InputError(f"this {type(self).__name__} is not trained yet; call fit(data), or gatework.load(run).")

    def keep(self, evaluation: Evaluation) -> Evaluation:
        """Save it in the run's evaluations/, numbered; a run that cannot be written is said and does not stand in the way."""
        number = 1
        while self.run_.has(f"evaluations/{number:03d}/evaluation.json"):
            number += 1
        try:
            evaluation.save(self.run_, f"evaluations/{number:03d}/")
        except StorageError as error:
            say(f"the evaluation is not saved: {error}")
        return evaluation

    def _train(self, run: Run, dataset: Any, said: list[str], started: float) -> Self:
        import torch

        from gatework.train.members import fit_members

        training: Training = self.config_.training
        limit = training.time_limit
        if limit is not None:
            limit = max(limit - (time.monotonic() - started) - self.closing_seconds, 0.0)
        with run.lock():
            run.record(status="running", decisions=said)
            try:
                problems, outcomes = fit_members(
                    lambda seed: self.problem(dataset, seed),
                    self.config_.members,
                    training,
                    run.checkpoint,
                    _journal(run),
                    limit,
                )
                self.nets_ = torch.nn.ModuleList([problem.net for problem in problems]).eval()
                self.run_ = run
                self.evaluation_ = self.conclude(dataset)
                self._save(run, outcomes, problems[0].metric, said, time.monotonic() - started)
            except KeyboardInterrupt as stop:
                run.record(status="stopped", decisions=said)
                if not stop.args:
                    say(f"stopped. Continue with: {_resume_command(run)}")
                raise
            except GateworkError as error:
                run.record(status="failed", decisions=said, problem=str(error))
                raise
        say(f"run saved in {run.path}")
        return self

    def _save(self, run: Run, outcomes: list[Outcome], metric: str, said: list[str], seconds: float) -> None:
        from gatework.tasks.plots import picture

        history = [row for outcome in outcomes for row in outcome.history]
        picture(run, "learning_curve", {"metric": metric, "rows": history})
        if outcomes[0].finder:
            picture(run, "learning_rate", {"chosen": outcomes[0].learning_rate, "rows": outcomes[0].finder})
        run.write_tensors(_WEIGHTS, self.nets_.state_dict())
        run.write_json(_MODEL, {"task": self.name, "members": len(self.nets_), "learned": self.learned()})
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


def load_run(run: Run) -> Task:
    """The trained application in `run`; see `gatework.tasks.load`."""
    import torch

    model = _empty(run)
    if not run.has(_MODEL):
        raise ArtefactError(
            f"{run.path} holds no finished model (status: {run.facts.get('status', 'unknown')}); "
            f"finish it with: {_resume_command(run)}"
        )
    saved = run.read_json(_MODEL)
    members, learned = saved.get("members"), saved.get("learned")
    if saved.get("task") != model.name or type(members) is not int or not 1 <= members <= 100:
        raise ArtefactError(f"{run.path_of(_MODEL)} is not a model of {model.name}. It is damaged; restore it.")
    try:
        build = model.restore(cast(dict[str, Any], learned))
        nets = torch.nn.ModuleList([build() for _ in range(members)])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ArtefactError(
            f"{run.path_of(_MODEL)} does not describe a model this Gatework can build ({error}). It is damaged; restore it."
        ) from error
    nets.load_state_dict(run.read_tensors(_WEIGHTS, nets.state_dict()))
    model.nets_ = nets.eval()
    return model


def resume_run(run: Run, data: Any = None) -> Task:
    """Go on with the training in `run`; see `gatework.tasks.resume`."""
    started = time.monotonic()
    if run.facts.get("status") == "finished":
        say(f"{run.path} is finished; nothing to resume")
        return load_run(run)
    model = _empty(run)
    source = run.facts.get("data") or {}
    if data is None and source.get("path") is None:
        raise ArtefactError(
            f"{run.path} was fitted on a frame in memory, which is not kept: hand it in again, "
            f'gatework.tasks.resume("{run.path}", data=frame).'
        )
    with recording() as said:
        dataset = model.read(source["path"] if data is None else data)
        if dataset.data_hash() != source.get("hash"):
            raise ArtefactError(
                f"the data differ from those {run.path} was fitted on, so its training cannot go on as it began. "
                "Restore them, or start again with `fit`."
            )
        model.config_ = model.decide(dataset)
        return model._train(run, dataset, said, started)


def _empty(run: Run) -> Task:
    """The application of `run` with its settings, not yet trained."""
    from gatework.tasks import task, tasks

    if run.task not in tasks():
        raise ArtefactError(f"{run.path} is of the task {run.task!r}, which this Gatework does not have.")
    kind = task(run.task)
    path = run.path_of(_CONFIG)
    if not path.is_file():
        raise ArtefactError(f"{run.path} has no {_CONFIG}; it was stopped before it began. Start again with `fit`.")
    model = kind(**settle(kind.Config, read_yaml(path), source=str(path)))
    model.config_ = model.settings()
    model.run_ = run
    model.evaluation_ = None
    return model


def _journal(run: Run) -> Journal:
    from gatework.train.fit import Journal

    return Journal(
        append=lambda row: run.append_jsonl("metrics.jsonl", row),
        rewrite=lambda rows: run.write_jsonl("metrics.jsonl", rows),
        log=lambda line: run.append_text("log.txt", line),
        resume_command=_resume_command(run),
    )


def _resume_command(run: Run) -> str:
    return f"gatework resume {run.path}"
