"""The results file: one row for each thing measured, appended and never rewritten."""

from __future__ import annotations

import csv
import io
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from gatework.compiler.build import compiler
from gatework.compiler.build import machine as target
from gatework.errors import InputError
from gatework.run.durable import append as append_bytes
from gatework.run.environment import environment

COLUMNS = (
    *("date", "suite", "cell", "backend", "mode", "shape", "threads", "metric", "median", "p20", "p80"),
    *("peer", "peer_median", "ratio", "machine", "versions", "note"),
)

PEERS = ("torchrecurrent", "neuralforecast", "gluonts", "darts")


def append(rows: Iterable[Mapping[str, object]], path: Path) -> None:
    """Add rows to a results file, which is made with its header when it is not there.

    Columns that a row leaves out stay empty, but for the date (now, UTC), the machine and the versions. Numbers are
    written with six digits.

    Raises:
        InputError: a row has a column that there is not, or the file has other columns.
        StorageError: the file may not be written or the disk is full; nothing is added.
    """
    common = {"date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", "machine": machine(), "versions": versions()}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    if not _begun(path):
        writer.writeheader()
    for row in rows:
        if unknown := set(row) - set(COLUMNS):
            raise InputError(f"a result has {', '.join(sorted(unknown))}; the columns are {', '.join(COLUMNS)}.")
        filled = {**common, **row}
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in filled.items()})
    append_bytes(path, text.getvalue().encode())


def read(path: Path) -> list[dict[str, str]]:
    """All rows so far, oldest first; none where there is no file.  Raises InputError when it is not a results file."""
    if not _begun(path):
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _begun(path: Path) -> bool:
    """Whether the file has its header.  Raises InputError when it begins with something else."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open(newline="", encoding="utf-8") as file:
        have = next(csv.reader(file), [])
    if tuple(have) != COLUMNS:
        expected = ", ".join(COLUMNS)
        raise InputError(f"{path} has the columns {', '.join(have)}; expected {expected}. Choose another file.")
    return True


@cache
def machine() -> str:
    """The processor, its cores and the width of its vectors."""
    hardware = environment()["hardware"]
    return f"{hardware['cpu']}, {hardware['cores']} cores, {8 * target().vector_bytes}-bit vectors"


@cache
def versions() -> str:
    """Of what a figure may depend on: Gatework with its commit, Python, torch, peers, the C++ compiler."""
    here = environment()
    parts = [f"{name} {here['versions'][name]}" for name in ("gatework", "python", "torch")]
    parts += [f"{name} {version}" for name in PEERS if (version := _version(name))]
    if git := here["git"]:
        parts.append(f"commit {git['commit'][:10]}{'+' if git['dirty'] else ''}")
    if path := compiler():
        shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.splitlines()
        parts += shown[:1]
    return "; ".join(parts)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
