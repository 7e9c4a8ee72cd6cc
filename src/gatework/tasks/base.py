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

from gatework.errors import ConfigError, GateworkError, InputError, StorageError
from gatework.say import recording, say
from gatework.tasks.config import flatten, to_yaml
from gatework.tasks.estimator import Estimator
from gatework.tasks.idle import Idle, refuse_idle
from gatework.tasks.setting import fields
from gatework.train.settings import Training

if TYPE_CHECKING:
    from torch import nn

    from gatework.run import Run
    from gatework.tasks.evaluation import Evaluation
    from gatework.train.jobs import Job
    from gatework.train.problem import Problem

Refit = Literal["further", "afresh", "never"]

_BEGUN = "metrics.jsonl", "last/current.json"  # one of them is there as soon as a training has got anywhere
_LONGEST_PATH = 4096  # characters; a longer text is no path

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
        prepared_: networks of the trainings that came before the members' (`preparations`), during a fit.
        evaluation_: scores on the held-out part beside the baseline's; None where nothing was held out.
    """

    Config: ClassVar[type[BaseModel]]
    name: ClassVar[str]
    takes_validation: ClassVar[bool] = False  # whether `fit` may be given the held-out part
    sample: ClassVar[str] = ".csv"  # ending of the file that `synthesise` is written to
    idle: ClassVar[tuple[Idle, ...]] = ()  # settings that `fit` refuses where they would change nothing

    run_: Run
    config_: Any
    nets_: nn.ModuleList
    prepared_: list[nn.Module]
    evaluation_: Evaluation | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.__module__.rpartition(".")[2].replace("_", "-")

    # Hooks: what an application says about itself.

    def read(self, data: Any, validation: Any = None) -> Any:
        """The data as a data set with `data_hash()`, checked against `config_`; raises InputError.

        Args:
            data: what `fit` was given.
            validation: the held-out part, where `takes_validation`; None = to be cut from the data.
        """
        raise NotImplementedError

    def decide(self, dataset: Any) -> Any:
        """`config_` with every setting that was left open ("auto") decided from the data, and said."""
        return self.config_

    def preparations(self, dataset: Any) -> list[Job]:
        """Trainings before the members' (pre-training); their labels hold {"preparation": what it is}."""
        return []

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

    def fit(self, data: Any, validation: Any = None) -> Self:
        """Train on `data` and keep everything in a new run folder (`run_`).

        Args:
            data: a frame, or the path of a file.
            validation: data of the same kind to stop early and to score on; None = a part of `data` is held out.

        Raises:
            ConfigError: a setting does not fit.
            InputError: the data cannot be used; says what, where and how to mend it.
            StorageError: the run folder cannot be written.
            KeyboardInterrupt: Ctrl-C; the state is saved and the command that goes on is said.
        """
        from gatework.run import Run

        started = time.monotonic()
        self.config_ = self.settings()
        usual = {field.name: field.default for field in fields(self.Config)}
        refuse_idle({**flatten(self.config_), "validation": validation is not None}, usual, self.idle)
        with recording() as said:
            dataset = self.read_both(data, validation)
            self.config_ = self.decide(dataset)
            source = {"path": path_of(data), "validation": path_of(validation), "hash": dataset.data_hash()}
            run = Run.create(self.name, self.config_.runs, seed=self.config_.training.seed, data=source)
            run.write_text(CONFIG, to_yaml(self.Config, flatten(self.config_)))
            try:
                return self.train(run, dataset, said, started)
            except GateworkError:
                if not any(map(run.has, _BEGUN)):
                    run.discard()
                raise

    def read_both(self, data: Any, validation: Any = None) -> Any:
        """What `read` gives; ConfigError for a held-out part where the application cuts its own."""
        if validation is None:
            return self.read(data)
        if not self.takes_validation:
            raise ConfigError(
                f"the {self.name} holds out a part of its data itself (holdout); give no validation data."
            )
        return self.read(data, validation)

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
        from gatework.tasks.fitting import Fitting

        with run.lock():
            run.record(status="running", decisions=said)
            try:
                Fitting(self, run, dataset, started).run(said)
            except KeyboardInterrupt as stop:
                run.record(status="stopped", decisions=said)
                if not stop.args:
                    say(f"stopped. Continue with: {resume_command(run)}")
                raise
            except GateworkError as error:
                run.record(status="failed", decisions=said, problem=str(error))
                raise
            finally:
                if run.facts["status"] == "running":  # whatever else ended it
                    run.record(status="failed", decisions=said)
        say(f"run saved in {run.path}")
        return self


def path_of(data: Any) -> str | None:
    """The whole path of data that are a file or a folder; None for what is in memory."""
    if not isinstance(data, (str, Path)) or "\n" in str(data):
        return None
    path = Path(data)
    return str(path.resolve()) if len(str(path)) < _LONGEST_PATH and path.exists() else None


def resume_command(run: Run) -> str:
    """What goes on with a stopped run, typed into a shell."""
    return f"gatework resume {run.path}"
