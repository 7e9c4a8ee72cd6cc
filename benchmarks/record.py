"""The results file of this repository, written and read by the recorder that `gatework bench` uses too."""

from functools import partial
from pathlib import Path

from gatework.bench import record
from gatework.bench.record import COLUMNS

__all__ = ["COLUMNS", "RESULTS", "append", "read"]

RESULTS = Path(__file__).resolve().parent / "results.csv"
append = partial(record.append, path=RESULTS)
read = partial(record.read, RESULTS)
