"""The applications, one file each, found by a scan of this folder.

tasks()                      names and what each is for, without importing any
task("forecaster")           the class
load("runs/forecaster-001")  a trained one
resume("runs/forecaster-001")   go on where a run was stopped
"""

from __future__ import annotations

import ast
import functools
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatework.errors import ConfigError

if TYPE_CHECKING:
    from gatework.tasks.base import Task

_BASE = "Task"


@functools.cache
def _scan() -> dict[str, tuple[str, str]]:
    """{name: (class, first line of its docstring)} of every class in this folder that derives from Task."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and any(isinstance(b, ast.Name) and b.id == _BASE for b in node.bases):
                found[path.stem.replace("_", "-")] = (node.name, (ast.get_docstring(node) or "").partition("\n")[0])
    return found


def tasks() -> dict[str, str]:
    """{name: what it is for} of every application; imports none of them."""
    return {name: about for name, (_, about) in _scan().items()}


def task(name: str) -> type[Task]:
    """The application called `name` ("language-model", or as its file is called, "language_model").

    Raises:
        ConfigError: there is none of that name.
    """
    name = name.replace("_", "-")
    if name not in _scan():
        from gatework.tasks.config import nearest

        raise ConfigError(f"no task is called {name!r}.{nearest(name, _scan())} The tasks are: {', '.join(_scan())}.")
    module = importlib.import_module(f"gatework.tasks.{name.replace('-', '_')}")
    found: type[Task] = getattr(module, _scan()[name][0])
    return found


def load(run: str | Path) -> Task:
    """The trained application in a run folder, ready to predict and evaluate.

    Raises:
        ArtefactError: not a run folder, not finished, damaged or tampered with.
    """
    from gatework.run import Run
    from gatework.tasks.revival import load_run

    return load_run(Run.open(run))


def resume(run: str | Path, data: Any = None, validation: Any = None) -> Task:
    """Go on with a stopped or killed `fit`, to the same weights as if it had never stopped.

    Args:
        run: its folder.
        data: the frame it was fitted on; a run fitted on a file opens that file by itself.
        validation: the held-out frame it was fitted with, if there was one.

    Raises:
        ArtefactError: not a run folder, or the data are not those it was fitted on.
    """
    from gatework.run import Run
    from gatework.tasks.revival import resume_run

    return resume_run(Run.open(run), data, validation)
