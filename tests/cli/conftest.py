"""One small fitted run for all command line tests, and a way to call the command."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gatework.cli.main import main
from tests.tasks.quick import QUICK


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code and both streams."""

    code: int
    out: str
    err: str


def call(*words: object) -> Result:
    """Run `gatework WORDS...` in this process; help and version end as they would in a shell."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = int(end.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


@pytest.fixture
def gatework(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, painted_once: None) -> Callable[..., Result]:
    """The command, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    return call


@dataclass(frozen=True)
class Fitted:
    """A run of a task and the file that it was fitted on."""

    task: str
    run: Path
    data: Path


def flags_of(task: str) -> list[str]:
    """The flags that make a fit of `task` quick."""
    return [word for name, value in QUICK.get(task, {}).items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Fitted]:
    """`fitted(task)`: the task synthesised and fitted by its own verbs, once a session."""
    known: dict[str, Fitted] = {}

    def make(task: str) -> Fitted:
        if task not in known:
            folder = tmp_path_factory.mktemp(task)
            with contextlib.chdir(folder):
                data = folder / call("synth", task).out.strip()
                result = call("fit", task, data, *flags_of(task))
            assert result.code == 0, result.err
            known[task] = Fitted(task, folder / result.out.strip().splitlines()[-1], data)
        return known[task]

    return make
