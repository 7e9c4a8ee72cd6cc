"""The run folder: everything one training leaves behind, in one fixed layout, written and read here alone.

runs/<task>-NNN/
  config.yaml     the resolved configuration
  run.json        versions, git commit, hardware, seed, decisions, kernels, status, score
  metrics.jsonl   one JSON object a line
  log.txt         plain lines
  model/          weights (safetensors) and what else a model needs (JSON); never pickle
  last/           the exact-resume checkpoint
  plots/          pictures and the numbers they are drawn from
  README.md       the model card
"""

from __future__ import annotations

import datetime
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatework.errors import ArtefactError
from gatework.run import durable, frames, jsonfile
from gatework.run.environment import environment
from gatework.run.lock import locked
from gatework.run.reading import path_inside, read_file

if TYPE_CHECKING:
    from torch import Tensor

    from gatework.run.checkpoint import Checkpoint

FACTS = "run.json"


class Run:
    """One run folder; make it with `Run.create` or `Run.open`.

    Names of files are relative, with forward slashes: "model/weights.safetensors". Every `write_` replaces the file as
    a whole and durably, or raises StorageError and leaves it as it was.
    """

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self.path = path
        self.facts = facts

    @classmethod
    def create(cls, task: str, root: str | Path = "runs", **facts: Any) -> Run:
        """A new folder `root`/<task>-NNN with its run.json; NNN is one above the highest there, never used twice.

        Args:
            task: lower-case name, e.g. "forecaster".
            root: the folder of runs; made when missing.
            facts: further entries of run.json, e.g. seed=0.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_-]*", task):
            raise ValueError(f"task {task!r} is not a lower-case name")
        root = Path(root)
        with durable.explaining(root):
            root.mkdir(parents=True, exist_ok=True)
        number = 1 + max((_number(entry.name, task) for entry in root.iterdir()), default=0)
        while True:
            path = root / f"{task}-{number:03d}"
            try:
                with durable.explaining(path):
                    path.mkdir()
                break
            except OSError as error:
                if not isinstance(error.__cause__, FileExistsError):
                    raise
                number += 1  # another process took this number in between
        created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        run = cls(path, {"task": task, "created": created, **environment()})
        run.record(**facts)
        durable.sync_folder(root)
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """The run folder at `path`.

        Raises:
            ArtefactError: nothing there, not a run folder, or a format this Gatework does not read.
        """
        path = Path(path)
        if not path.exists():
            raise ArtefactError(
                f"{path} does not exist; expected a run folder such as runs/forecaster-001. "
                "`gatework runs` lists those there are."
            )
        if not path.is_dir() or not (path / FACTS).exists():
            raise ArtefactError(
                f"{path} is not a run folder (it has no {FACTS}); expected one such as "
                "runs/forecaster-001. `gatework runs` lists those there are."
            )
        what = str(path / FACTS)
        facts = jsonfile.checked(jsonfile.decode(read_file(path / FACTS), what), what)
        if not isinstance(facts.get("task"), str):
            raise ArtefactError(f"{what} does not name its task. It is damaged or foreign; restore it.")
        return cls(path, facts)

    @property
    def name(self) -> str:
        """The folder's own name, e.g. "forecaster-001"."""
        return self.path.resolve().name

    @property
    def task(self) -> str:
        """The task it was made by, e.g. "forecaster"."""
        return str(self.facts["task"])

    def path_of(self, name: str) -> Path:
        """The path of the file `name`; ArtefactError when the name leads out of the folder."""
        return path_inside(self.path, name)

    def has(self, name: str) -> bool:
        """Whether the file `name` is there."""
        return self.path_of(name).is_file()

    def record(self, **facts: Any) -> None:
        """Merge `facts` into run.json, e.g. status="finished", score={"mae": 13.2}, decisions=[...]."""
        merged = {**self.facts, **facts}
        self.write_json(FACTS, merged)
        self.facts = merged

    def discard(self) -> None:
        """Remove the folder with all that it holds; what cannot be removed stays."""
        shutil.rmtree(self.path, ignore_errors=True)

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write an object; a "format" entry with the version is added, `read_json` checks and removes it."""
        self.write_bytes(name, jsonfile.encode({"format": jsonfile.FORMAT, **value}) + b"\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """The object in `name`; ArtefactError when missing, damaged or of another format version."""
        path = self.path_of(name)
        return jsonfile.checked(jsonfile.decode(read_file(path), str(path)), str(path))

    def write_tensors(
        self, name: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Write named tensors as safetensors."""
        from gatework.run import tensors as tensorfile  # torch is imported only where tensors are

        self.write_bytes(name, tensorfile.encode(tensors, metadata))

    def read_tensors(self, name: str, expected: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The tensors in `name`; with `expected` (e.g. `module.state_dict()`) names, shapes and dtypes must agree.

        Raises:
            ArtefactError: missing, damaged, tampered with, or of another model.
        """
        from gatework.run import tensors as tensorfile

        path = self.path_of(name)
        return tensorfile.decode(read_file(path), str(path), expected)

    def write_text(self, name: str, text: str) -> None:
        """Write a UTF-8 text file."""
        self.write_bytes(name, text.encode())

    def read_text(self, name: str) -> str:
        """The UTF-8 text in `name`; ArtefactError when missing or not UTF-8."""
        path = self.path_of(name)
        try:
            return read_file(path).decode()
        except UnicodeDecodeError as error:
            raise ArtefactError(f"{path} is not UTF-8 text (byte {error.start}). It is damaged; restore it.") from error

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file (a picture, say), with the folder it stands in."""
        path = self.path_of(name)
        for parent in reversed(path.relative_to(self.path).parents[:-1]):
            durable.make_folder(self.path / parent)
        durable.write(path, data)

    def append_text(self, name: str, line: str) -> None:
        """Add one line to a text file; flushed to the system, not to the disk."""
        durable.append(self.path_of(name), f"{line.rstrip()}\n".encode())

    def append_jsonl(self, name: str, row: Mapping[str, Any]) -> None:
        """Add one JSON object as a line; numbers must be finite."""
        durable.append(self.path_of(name), jsonfile.encode(row, indent=None) + b"\n")

    def write_jsonl(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace the file by `rows`, one JSON object a line (on resume: the rows up to the checkpoint)."""
        self.write_bytes(name, b"".join(jsonfile.encode(row, indent=None) + b"\n" for row in rows))

    def read_jsonl(self, name: str) -> list[dict[str, Any]]:
        """The rows of `name`, none when it is not there; a last line that a kill tore is left out."""
        path = self.path_of(name)
        if not path.exists():
            return []
        lines = read_file(path).split(b"\n")[:-1]
        return [jsonfile.decode(line, f"line {i} of {path}") for i, line in enumerate(lines, 1) if line.strip()]

    def write_table(self, name: str, frame: Any) -> None:
        """Write a pandas, polars or arrow frame as .csv, .csv.gz, .jsonl or .parquet."""
        self.write_bytes(name, frames.encode(frame, name))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this run inside a `with` block, and clear away what killed writers left half written.

        Raises:
            ArtefactError: another process holds it; its number is named.
        """
        with locked(self.path_of(".lock")):
            for folder in (
                self.path,
                *(path for path in self.path.iterdir() if path.is_dir() and not path.is_symlink()),
            ):
                durable.sweep(folder)
            yield

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The exact-resume checkpoint in last/."""
        from gatework.run.checkpoint import Checkpoint

        return Checkpoint(self.path_of("last"))


def _number(name: str, task: str) -> int:
    match = re.fullmatch(rf"{re.escape(task)}-(\d{{3,9}})", name)
    return int(match[1]) if match else 0
