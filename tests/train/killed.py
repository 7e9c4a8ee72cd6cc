"""Trains the toy regression in a run folder, continuing what is there; work for a process of its own."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from gatework.run import Run
from gatework.train.fit import fit
from gatework.train.journal import Journal
from gatework.train.settings import Training
from tests.train.toy import regression


def kill_at_rename(count: int) -> None:
    left = [count]
    rename = os.replace

    def replace(*arguments: Any, **named: Any) -> None:
        left[0] -= 1
        if left[0] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*arguments, **named)

    os.replace = replace


def train(path: Path, moment: str = "never", number: float = 0) -> None:
    """The process ends itself, so that it cannot come too late however busy the machine is.

    `moment` is "rename": SIGKILL just before rename number `number` of a file, in the middle of a save; "seconds":
    killed by a timer so long after it has begun to train; "row": SIGINT, as Ctrl-C sends it, after so many epochs.
    """
    run = Run.open(path)
    if moment == "rename":
        kill_at_rename(int(number))
    problem = regression()
    settings = Training(
        max_epochs=12, learning_rate=0.02, average=0.9, checkpoint_seconds=0, patience=0, weight_decay=0.01
    )

    def append(row: dict[str, Any]) -> None:
        run.append_jsonl("metrics.jsonl", row)
        if moment == "row" and row["epoch"] == number:
            os.kill(os.getpid(), signal.SIGINT)

    journal = Journal(
        append=append,
        rewrite=lambda rows: run.write_jsonl("metrics.jsonl", rows),
        resume_command=f"gatework resume {run.path}",
    )
    if moment == "seconds":
        signal.setitimer(signal.ITIMER_REAL, number)  # nobody handles its signal, which then ends a process at once
    fit(problem, settings, run.checkpoint, journal)
    run.write_tensors("model/weights.safetensors", problem.net.state_dict())
    print("finished", flush=True)
