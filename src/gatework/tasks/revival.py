"""Applications back from their run folders: a finished one to be used, a stopped one to be trained on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from gatework.errors import ArtefactError
from gatework.say import recording, say
from gatework.tasks import task, tasks
from gatework.tasks.base import CONFIG, MODEL, WEIGHTS, resume_command
from gatework.tasks.config import read_yaml, settle

if TYPE_CHECKING:
    from gatework.run import Run
    from gatework.tasks.base import Task


def load_run(run: Run) -> Task:
    """The trained application in `run`; see `gatework.tasks.load`."""
    import torch

    model = _empty(run)
    if not run.has(MODEL):
        raise ArtefactError(
            f"{run.path} holds no finished model (status: {run.facts.get('status', 'unknown')}); "
            f"finish it with: {resume_command(run)}"
        )
    saved = run.read_json(MODEL)
    members, learned = saved.get("members"), saved.get("learned")
    if saved.get("task") != model.name or type(members) is not int or not 1 <= members <= 100:
        raise ArtefactError(f"{run.path_of(MODEL)} is not a model of {model.name}. It is damaged; restore it.")
    try:
        build = model.restore(cast(dict[str, Any], learned))
        nets = torch.nn.ModuleList([build() for _ in range(members)])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ArtefactError(
            f"{run.path_of(MODEL)} does not describe a model this Gatework can build ({error}). "
            "It is damaged; restore it."
        ) from error
    nets.load_state_dict(run.read_tensors(WEIGHTS, nets.state_dict()))
    model.nets_ = nets.eval()
    return model


def resume_run(run: Run, data: Any = None, validation: Any = None) -> Task:
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
        held = source.get("validation") if validation is None else validation
        dataset = model.read_both(source["path"] if data is None else data, held)
        if dataset.data_hash() != source.get("hash"):
            raise ArtefactError(
                f"the data differ from those {run.path} was fitted on, so its training cannot go on as it began. "
                "Restore them, or start again with `fit`."
            )
        model.config_ = model.decide(dataset)
        return model.train(run, dataset, said, started)


def _empty(run: Run) -> Task:
    """The application of `run` with its settings, not yet trained."""
    if run.task not in tasks():
        raise ArtefactError(f"{run.path} is of the task {run.task!r}, which this Gatework does not have.")
    kind = task(run.task)
    path = run.path_of(CONFIG)
    if not path.is_file():
        raise ArtefactError(f"{run.path} has no {CONFIG}; it was stopped before it began. Start again with `fit`.")
    model = kind(**settle(kind.Config, read_yaml(path), source=str(path)))
    model.config_ = model.settings()
    model.run_ = run
    model.evaluation_ = None
    return model
