"""Trains the toy regression in a run folder, continuing what is there: `python -m tests.train.killed RUN [N]`.

With a number N, the process kills itself (SIGKILL) just before the N-th rename of a file, in the middle of a save.
"""

from __future__ import annotations

import os
import signal
import sys
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


def main() -> None:
    run = Run.open(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        kill_at_rename(int(sys.argv[2]))
    problem = regression()
    settings = Training(
        max_epochs=12, learning_rate=0.02, average=0.9, checkpoint_seconds=0, patience=0, weight_decay=0.01
    )
    journal = Journal(
        append=lambda row: run.append_jsonl("metrics.jsonl", row),
        rewrite=lambda rows: run.write_jsonl("metrics.jsonl", rows),
        resume_command=f"gatework resume {run.path}",
    )
    print("training", flush=True)
    fit(problem, settings, run.checkpoint, journal)
    run.write_tensors("model/weights.safetensors", problem.net.state_dict())
    print("finished", flush=True)


if __name__ == "__main__":
    main()
