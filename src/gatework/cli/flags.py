"""Flags from a task's configuration: one for every field, checked by the checker that YAML goes through."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gatework.errors import ConfigError

if TYPE_CHECKING:
    from gatework.tasks.base import Task
    from gatework.tasks.setting import Setting

_PREFIX = "setting:"


def task_in(argv: Sequence[str]) -> type[Task] | None:
    """The task that is named among the arguments, or None; only this imports it."""
    from gatework.tasks import task, tasks

    known = tasks()
    return next((task(word) for word in argv if word.replace("_", "-") in known), None)


def refuse_unknown(parser_prog: str, rest: Sequence[str], known: Sequence[str] = ()) -> None:
    """Raise ConfigError for arguments that nothing took, with the flag that was probably meant."""
    if not rest:
        return
    flag = rest[0].partition("=")[0]
    near = difflib.get_close_matches(flag, known, 1)
    hint = f" Did you mean {near[0]}?" if near else f" See: {parser_prog} --help"
    raise ConfigError(f"{parser_prog} does not know {rest[0]!r}.{hint}")


def add_settings(parser: argparse.ArgumentParser, task: type[Task]) -> None:
    """Declare a flag for each field of the task's configuration; its dotted spelling is taken too, but not listed."""
    from gatework.tasks.setting import fields

    groups: dict[str, Any] = {}
    for field in fields(task.Config):
        if field.group not in groups:
            groups[field.group] = parser.add_argument_group(f"settings: {field.group}" if field.group else "settings")
        about = f"{field.help} ({field.expected}; default {shown(field.default)})".replace("%", "%%")
        spellings = {flag(field.name): about}
        if field.group:
            spellings[flag(f"{field.group}.{field.name}")] = argparse.SUPPRESS
        for spelling, text in spellings.items():
            common = {"dest": _PREFIX + field.name, "default": argparse.SUPPRESS, "help": text}
            if field.type_text == "bool":
                groups[field.group].add_argument(spelling, action=argparse.BooleanOptionalAction, **common)
            else:
                groups[field.group].add_argument(spelling, metavar=_placeholder(field), **common)


def _placeholder(field: Setting) -> str:
    """What stands for the value in help: N for a whole number, X for another number, else NAME."""
    if field.many:
        return "A,B,.."
    if field.unit == "path":
        return "PATH"
    if "number" in field.type_text:
        return "N" if "whole" in field.type_text else "X"
    return "NAME"


def shown(default: object) -> str:
    """A default as it would be typed."""
    if isinstance(default, list | tuple):
        return ",".join(map(str, default)) or "none"
    if isinstance(default, bool) or default is None:
        return str(default).lower()
    return str(default)


def settings(task: type[Task], options: argparse.Namespace, rest: Sequence[str], own: Sequence[str]) -> dict[str, Any]:
    """What the flags of `add_settings` were given, as checked leaves of the configuration.

    `rest` holds flags that the parser did not know: they go to the same checker as a YAML key would, which refuses them
    with a suggestion, unless they are nearer to one of the verb's `own` flags.
    """
    from gatework.tasks.config import settle

    given = {name.removeprefix(_PREFIX): value for name, value in vars(options).items() if name.startswith(_PREFIX)}
    for word, value in _pairs(rest):
        if near := difflib.get_close_matches(f"--{word}", own, 1, 0.8):
            raise ConfigError(f"no flag is called --{word}. Did you mean {near[0]}?")
        given[word] = value
    return dict(settle(task.Config, given, source="", spelt=flag))


def check_values(task: type[Task], typed: Mapping[str, Any], written: Mapping[str, Any], file: str) -> None:
    """Raise ConfigError for values that do not fit, those of flags in the flags' spelling.

    Args:
        task: the application.
        typed: settings from flags.
        written: settings from a file; flags win over them.
        file: its name.
    """
    from gatework.tasks.config import check

    values = {name: value for name, value in {**written, **typed}.items() if value is not None}
    check(task.Config, values, source="", spelt=lambda name: flag(name) if name in typed else f"{file}: {name}")


def flag(name: str) -> str:
    """The flag of a setting."""
    return f"--{name.replace('_', '-')}"


def _pairs(rest: Sequence[str]) -> list[tuple[str, str]]:
    """Unknown words as (flag without dashes, value): `--a=1`, `--a 1` and `--a` alone."""
    pairs = []
    words = list(rest)
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            raise ConfigError(f"{word!r} is one argument too many; a setting is given as --name value.")
        name, equals, value = word[2:].partition("=")
        if not equals and words and not words[0].startswith("--"):
            value = words.pop(0)
        pairs.append((name, value or "true"))
    return pairs
