"""Options that would change nothing beside the others: they are refused rather than ignored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gatework.errors import ConfigError

Given = Mapping[str, Any]


class Idle(NamedTuple):
    """When options change nothing.

    Attributes:
        names: of the options.
        when: whether they change nothing, from all options.
        why: what is missing, and how to mend it.
    """

    names: tuple[str, ...]
    when: Callable[[Given], Any]
    why: str


def refuse_idle(given: Given, usual: Given, rules: Iterable[Idle]) -> None:
    """Refuse options that were set, other than to their usual values, and would change nothing.

    Args:
        given: {option: value}, every one.
        usual: {option: value where it is not set}.
        rules: those that may be idle; names that `given` lacks are left alone.

    Raises:
        ConfigError: says which, and what they need.
    """
    for rule in rules:
        idle = [name for name in rule.names if name in given and given[name] != usual[name]]
        if idle and rule.when(given):
            raise ConfigError(f"{idle[0]} is {given[idle[0]]!r}, but that changes nothing: {rule.why}.")
