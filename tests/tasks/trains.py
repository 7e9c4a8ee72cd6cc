"""Fits the small forecaster on a file in a process of its own. `python -m tests.tasks.trains DATA RUNS`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.tasks.small import small

if __name__ == "__main__":
    small(
        Path(sys.argv[2]),
        max_epochs=8,
        members=2,
        refit="further",
        checkpoint_seconds=0,
        dropout=0.2,
        average=0.9,
        patience=0,
    ).fit(sys.argv[1])
