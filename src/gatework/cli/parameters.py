"""Flags of a verb from the method behind it: its signature says which there are, its docstring what they mean."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gatework.errors import ArtefactError

if TYPE_CHECKING:
    from gatework.tasks.base import Task

_PREFIX = "parameter:"
_MANY = ("Sequence", "list", "tuple")
_KINDS: dict[str, Callable[[str], Any]] = {"int": int, "float": float}


def task_of_run(argv: Sequence[str]) -> type[Task] | None:
    """The application of the first argument that is a run folder, or None; only this imports it."""
    from gatework.run import Run
    from gatework.tasks import task, tasks

    for word in argv:
        if not word.startswith("-"):
            try:
                name = Run.open(word).task
            except (ArtefactError, OSError):
                continue
            return task(name) if name in tasks() else None
    return None


def add_parameters(parser: argparse.ArgumentParser, method: Callable[..., Any], leave: Sequence[str] = ()) -> None:
    """Declare a flag for each parameter of `method` that has a default, but for those in `leave`.

    A parameter annotated as bool becomes --name and --no-name; a sequence may be given several times; a `Literal`
    offers its words.
    """
    meanings = _meanings(inspect.getdoc(method) or "")
    group = parser.add_argument_group("options of this run's application")
    for name, parameter in _own(method, leave).items():
        kind, choices, many = _annotation(str(parameter.annotation))
        common: dict[str, Any] = {"dest": _PREFIX + name, "default": argparse.SUPPRESS}
        common["help"] = meanings.get(name, "").replace("%", "%%")
        flag = f"--{name.replace('_', '-')}"
        if kind == "bool":
            group.add_argument(flag, action=argparse.BooleanOptionalAction, **common)
            continue
        common["metavar"] = {"int": "N", "float": "X"}.get(kind, "TEXT" if kind == "str" else "FILE")
        if choices:
            common |= {"choices": choices, "metavar": None}
        group.add_argument(flag, type=_KINDS.get(kind, str), action="append" if many else "store", **common)


def parameters(method: Callable[..., Any], options: argparse.Namespace, leave: Sequence[str] = ()) -> dict[str, Any]:
    """The keyword arguments for `method` that the flags of `add_parameters` were given."""
    return {name: vars(options)[_PREFIX + name] for name in _own(method, leave) if _PREFIX + name in vars(options)}


def flags(method: Callable[..., Any], leave: Sequence[str] = ()) -> list[str]:
    """How the flags are spelled."""
    return [f"--{name.replace('_', '-')}" for name in _own(method, leave)]


def _own(method: Callable[..., Any], leave: Sequence[str]) -> dict[str, inspect.Parameter]:
    known = inspect.signature(method).parameters
    return {
        name: parameter
        for name, parameter in known.items()
        if parameter.default is not inspect.Parameter.empty and name not in leave
    }


def _annotation(text: str) -> tuple[str, list[str], bool]:
    """(kind, words to choose from, whether several may come) of an annotation as it is written."""
    parts = [part.strip() for part in re.split(r"\|(?![^\[]*\])", text) if part.strip() != "None"]
    many = any(part.startswith(_MANY) for part in parts)
    choices = [
        str(word)
        for part in parts
        for inner in re.findall(r"Literal(\[[^\]]*\])", part)
        for word in ast.literal_eval(inner)
    ]
    bare = [re.sub(r"^(?:Sequence|list|tuple)\[(\w+).*\]$", r"\1", part) for part in parts]
    if "Path" in bare:
        return "", choices, many
    kind = next((part for part in bare if part in ("bool", "int", "float", "str")), "")
    return ("float" if {"int", "float"} <= set(bare) else kind), choices, many


def _meanings(docstring: str) -> dict[str, str]:
    """{parameter: meaning} of the docstring's Args."""
    found: dict[str, str] = {}
    _, _, rest = docstring.partition("\nArgs:\n")
    name = ""
    for line in rest.splitlines():
        if not line.startswith("    "):
            break
        begins = re.match(r"    (\w+(?:, \w+)*): (.*)", line)
        if begins:
            name = begins[1]
            found |= dict.fromkeys(name.split(", "), begins[2])
        elif name:
            found |= {part: f"{found[part]} {line.strip()}" for part in name.split(", ")}
    return found
