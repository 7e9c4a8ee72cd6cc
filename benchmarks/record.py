"""The one writer of benchmarks/results.csv: every measurement of kernels, forecasts and peers is a row of it."""

from __future__ import annotations

import csv
import datetime
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results.csv"
COLUMNS = (
    *("date", "suite", "cell", "backend", "mode", "shape", "threads", "metric", "median", "p20", "p80"),
    *("peer", "peer_median", "ratio", "machine", "versions", "note"),
)
_PACKAGES = ("gatework", "torch", "numpy", "neuralforecast", "gluonts", "darts")


def append(rows: Iterable[Mapping[str, object]], path: Path = RESULTS) -> None:
    """Add rows to the results; date, machine and versions are filled in where they are missing.

    Raises ValueError, before anything is written, for a column that the file does not have.
    """
    complete = []
    for row in rows:
        unknown = sorted(set(row) - set(COLUMNS))
        if unknown:
            raise ValueError(f"no such column in the results: {', '.join(unknown)}; there are {', '.join(COLUMNS)}")
        filled = {"date": now(), "machine": machine(), "versions": versions(), **row}
        complete.append({column: _plain(filled.get(column, "")) for column in COLUMNS})
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(complete)


def read(path: Path = RESULTS) -> list[dict[str, str]]:
    """All rows so far, oldest first."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def machine() -> str:
    """Processor, number of cores and the widest vectors, as in "AMD EPYC x2 avx512"."""
    name, flags = platform.processor() or platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        facts = dict(line.split(":", 1) for line in lines if ":" in line)
        facts = {key.strip(): value.strip() for key, value in facts.items()}
        name, flags = facts.get("model name", name), facts.get("flags", "")
    vectors = next((v for flag, v in (("avx512f", "avx512"), ("avx2", "avx2")) if flag in flags.split()), "")
    return " ".join(filter(None, (name, f"x{os.cpu_count()}", vectors)))


def versions() -> str:
    """Installed packages that a figure may depend on, as in "torch 2.13.0 numpy 2.4.6"."""
    found = [f"python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return " ".join(found)


def _plain(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)
