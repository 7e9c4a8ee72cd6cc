"""Which column is what: the id, the time, the target and the covariates of a table, as given or inferred and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from gatework.data.source import Source
from gatework.data.times import looks_like_dates
from gatework.data.wording import did_you_mean, listed, quoted
from gatework.errors import InputError
from gatework.say import say

ID_NAMES = ("unique_id", "series_id", "item_id", "ts_id", "series", "id")
TIME_NAMES = ("ds", "datetime", "timestamp", "date", "time", "year", "quarter", "month", "week", "day", "period", "t")
TARGET_NAMES = ("y", "target", "value", "values")
_COUNTS_OF_THE_CALENDAR = ("quarter", "month", "week", "day", "period")  # as integers 1..12, these are no time axis


@dataclass(frozen=True)
class Roles:
    """The columns that are read; `id` and `time` are None where the table has none."""

    id: str | None
    time: str | None
    targets: tuple[str, ...]
    past: tuple[str, ...] = ()
    future: tuple[str, ...] = ()
    static: tuple[str, ...] = ()


def assign(
    source: Source,
    *,
    target: str | Sequence[str] | None,
    id_column: str | None,
    time_column: str | None,
    past: Sequence[str],
    future: Sequence[str],
    static: Sequence[str],
) -> Roles:
    """The role of each column; what was not given is inferred and said.

    Raises:
        InputError: an unknown name, a column with two roles, no numeric column, or a choice that is the user's to make.
    """
    names = source.frame.columns
    targets = (target,) if isinstance(target, str) else tuple(map(str, target or ()))
    taken = [*targets, *past, *future, *static, *filter(None, (id_column, time_column))]
    for name in taken:
        require(name, names, source.name)
    twice = sorted({name for name in taken if taken.count(name) > 1})
    if twice:
        raise InputError(
            f"column {twice[0]!r} is given two roles. Expected each column once among id_column, time_column, target "
            "and the covariates; leave it out of one."
        )
    time = time_column or _time(source, taken)
    identity = id_column or _id(source, [*taken, *filter(None, (time,))], time)
    targets = targets or (_target(source, [*taken, *filter(None, (time, identity))]),)
    roles = Roles(identity, time, targets, tuple(past), tuple(future), tuple(static))
    unused = [name for name in names if name not in {*taken, time, identity, *targets}]
    if unused:
        say(f"columns not used: {listed(unused)} (name covariates to use them)")
    return roles


def require(name: str, names: list[str], source: str) -> None:
    """InputError, with a suggestion, unless `name` is one of the columns `names`."""
    if name not in names:
        raise InputError(
            f"{source} has no column {name!r}.{did_you_mean(name, names)} Its columns are {quoted(names)}; "
            "name one of these."
        )


def _time(source: Source, taken: list[str]) -> str | None:
    free = {name: source.frame[name] for name in source.frame.columns if name not in taken}
    chosen, why = None, ""
    for candidate in TIME_NAMES:
        found = [
            name
            for name, column in free.items()
            if name.strip().casefold() == candidate and _is_time(column, candidate)
        ]
        if found:
            chosen, why = found[0], "by its name"
            break
    if chosen is None:
        found = [name for name, column in free.items() if isinstance(column.dtype, nw.Datetime | nw.Date)]
        found = found or [name for name, column in free.items() if _is_text(column) and looks_like_dates(column)]
        if len(found) > 1:
            raise InputError(
                f"{source.name} has several columns of dates: {quoted(found)}. "
                "Expected to be told which is the time of a row: time_column=..."
            )
        chosen, why = (found[0], "it holds dates") if found else (None, "")
    if chosen is None:
        say("time: no column of dates; the order of the rows counts as time")
    else:
        say(f"time: column {chosen!r} ({why})")
    return chosen


def _is_time(column: nw.Series[Any], name: str) -> bool:
    if isinstance(column.dtype, nw.Datetime | nw.Date):
        return True
    if column.dtype.is_integer():
        return name not in _COUNTS_OF_THE_CALENDAR
    # a column called "ds" or "date" that does not read as dates is a mistake to report, not to pass over
    return _is_text(column) and (name in ("ds", "date", "datetime", "timestamp") or looks_like_dates(column))


def _is_text(column: nw.Series[Any]) -> bool:
    return column.dtype in (nw.String, nw.Categorical, nw.Enum, nw.Object)


def _id(source: Source, taken: list[str], time: str | None) -> str | None:
    frame = source.frame
    free = [name for name in frame.columns if name not in taken]
    for candidate in ID_NAMES:
        for name in free:
            if name.strip().casefold() != candidate or frame[name].dtype.is_float():
                continue
            if frame[name].n_unique() == len(frame) > 1:
                say(f"column {name!r} is different in every row: it numbers rows, not series")
                continue
            say(f"series: column {name!r}, {frame[name].n_unique()} of them")
            return name
    if time is None or frame[time].n_unique() == len(frame):
        return None
    # a column with more than half as many values as there are rows counts or measures; it does not name series
    free = [name for name in free if name.strip().casefold() not in TARGET_NAMES]
    free = [name for name in free if frame[name].n_unique() <= len(frame) // 2]
    texts = [name for name in free if _is_text(frame[name])]
    numeric = [name for name in frame.columns if name not in taken and frame[name].dtype.is_numeric()]
    whole = [name for name in free if frame[name].dtype.is_integer() and numeric != [name]]  # that one is the target
    for group in (texts, whole):
        found = [name for name in group if frame.select(name, time).is_unique().all()]
        if len(found) > 1:
            raise InputError(
                f"{source.name} has several rows at the same time, and {quoted(found)} could each tell "
                "the series apart. Expected to be told which one does: id_column=..."
            )
        if found:
            say(f"series: column {found[0]!r} tells rows of the same time apart, {frame[found[0]].n_unique()} series")
            return found[0]
    return None


def _target(source: Source, taken: list[str]) -> str:
    frame = source.frame
    free = [name for name in frame.columns if name not in taken]
    for candidate in TARGET_NAMES:
        for name in free:
            if name.strip().casefold() == candidate:
                say(f"target: column {name!r} (by its name)")
                return name
    numeric = [name for name in free if frame[name].dtype.is_numeric()]
    if not numeric:
        held = ", ".join(f"{name!r} ({str(frame[name][0])[:20]!r}, ...)" for name in free[:6]) or "none"
        raise InputError(
            f"{source.name} has no numeric column to forecast; columns beside time and series: {held}. Expected one of "
            "numbers; add it, or mend the texts in it."
        )
    if len(numeric) > 1:
        raise InputError(
            f"{source.name} has {len(numeric)} numeric columns: {quoted(numeric)}. Expected to be told which to "
            f"forecast: target={numeric[-1]!r}, or a list of names to forecast each as a series of its own."
        )
    say(f"target: column {numeric[0]!r} (the only numeric one)")
    return numeric[0]
