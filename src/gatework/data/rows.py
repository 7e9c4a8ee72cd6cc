"""The rows of a table as arrays: series, time, target and covariates, in order of series and time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatework.data.frequency import Ints
from gatework.data.roles import Roles
from gatework.data.source import Source
from gatework.data.times import Times, read_times
from gatework.data.values import Covariate, Floats, numbers, texts_of
from gatework.data.wording import counted, listed, rows_at
from gatework.errors import InputError
from gatework.say import say


@dataclass(frozen=True)
class Rows:
    """R rows of N series.

    Args:
        names: the N names, in order of first appearance.
        series: int64 [R], the series of each row.
        times: the timestamp of each row.
        target: float64 [R], NaN where missing.
        past, future, static: float64 [R, .], encoded covariates, NaN where missing.
        positions: int64 [R], where each row stood in what the user gave.
    """

    names: list[str]
    series: Ints
    times: Times
    target: Floats
    past: Floats
    future: Floats
    static: Floats
    positions: Ints

    def take(self, order: NDArray[Any]) -> Rows:
        """The rows at `order` (positions or a mask)."""
        return replace(
            self,
            series=self.series[order],
            times=replace(self.times, values=self.times.values[order]),
            target=self.target[order],
            past=self.past[order],
            future=self.future[order],
            static=self.static[order],
            positions=self.positions[order],
        )

    def spoken(self, row: int) -> str:
        """Series and time of a row, for a message."""
        time = int(self.times.values[row])
        text = str(pd.Timestamp(time, unit="us")).removesuffix(" 00:00:00") if self.times.dates else str(time)
        return f"{self.names[self.series[row]]} at {text}"


def gather(
    source: Source,
    roles: Roles,
    covariates: dict[str, Covariate],
    wall: bool | None = None,
    has_target: bool = True,
) -> Rows:
    """The rows of `source` in the order they came; several targets become as many series.

    Args:
        source: the table.
        roles: which column is what.
        covariates: how each covariate column is encoded.
        wall: keep zoned times as wall-clock times (True), in UTC (False), or decide by the data (None).
        has_target: False for a table of future covariates: targets and past covariates are missing in every row.
    """
    frame, count = source.frame, len(source.frame)
    codes, distinct = _series(frame[roles.id], roles.id) if roles.id else (np.zeros(count, dtype=np.int64), [""])
    if roles.time:
        times = read_times(frame[roles.time], roles.time, wall)
    else:
        times = Times(np.asarray(pd.Series(codes).groupby(codes).cumcount(), dtype=np.int64), dates=False)

    def encoded(names: tuple[str, ...], present: bool = True) -> Floats:
        blocks = [np.empty((count, 0))]
        for name in names:
            covariate = covariates[name]
            missing = np.full((count, len(covariate.features)), np.nan)
            blocks.append(covariate.encode(frame[name]) if present else missing)
        return np.concatenate(blocks, axis=1)

    target = np.stack(
        [numbers(frame[name], name) if has_target else np.full(count, np.nan) for name in roles.targets], axis=1
    )
    several = len(roles.targets)
    if roles.id is None:
        names = list(roles.targets)
    else:
        names = [f"{d}/{t}" if several > 1 else d for d in distinct for t in roles.targets]
    rows_of = np.repeat(np.arange(count), several)
    return Rows(
        names,
        (codes[:, None] * several + np.arange(several)).reshape(-1).astype(np.int64),
        replace(times, values=times.values[rows_of]),
        target.reshape(-1),
        encoded(roles.past, has_target)[rows_of],
        encoded(roles.future)[rows_of],
        encoded(roles.static, has_target)[rows_of],
        rows_of,
    )


def _series(column: Any, name: str) -> tuple[Ints, list[str]]:
    """The series of each row, and their names in order of first appearance."""
    codes, distinct = pd.factorize(texts_of(column))
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        raise InputError(
            f"column {name!r} names no series in {rows_at(missing)}. Expected a name in every row; fill or drop them."
        )
    return codes.astype(np.int64), [str(text) for text in distinct]


def join(history: Rows, future: Rows, ordered_by_rows: bool) -> Rows:
    """`history` and the rows of a table of future covariates, as one.

    Args:
        history: rows with a target.
        future: rows without one.
        ordered_by_rows: there is no time column: the future rows of a series follow its last row.
    """
    known = {name: i for i, name in enumerate(history.names)}
    codes = np.array([known.get(name, -1) for name in future.names], dtype=np.int64)[future.series]
    foreign = sorted({future.names[s] for s in np.unique(future.series[codes < 0])})
    if foreign:
        say(f"future= holds {len(foreign)} series that the data do not: {listed(foreign)}; left out")
    future = replace(future, series=codes).take(codes >= 0)
    times = future.times.values
    last = np.full(len(history.names), np.iinfo(np.int64).min)
    np.maximum.at(last, history.series, history.times.values)
    if ordered_by_rows:
        times = times + last[future.series] + 1
    past = times <= last[future.series]
    if past.any():
        say(f"future= holds {counted(int(past.sum()), 'row')} not after the end of the data; left out")
    future = replace(future, times=replace(future.times, values=times)).take(~past)
    return Rows(
        history.names,
        np.concatenate([history.series, future.series]),
        replace(history.times, values=np.concatenate([history.times.values, future.times.values])),
        np.concatenate([history.target, future.target]),
        np.concatenate([history.past, future.past]),
        np.concatenate([history.future, future.future]),
        np.concatenate([history.static, future.static]),
        np.concatenate([history.positions, future.positions]),
    )


def in_order(table: Rows) -> Rows:
    """The rows by series and time; that they were not is said.

    Raises:
        InputError: two rows of one series have the same time.
    """
    times, series = table.times.values, table.series
    order = np.lexsort((times, series))
    backwards = np.zeros(len(table.names), dtype=bool)
    stable = np.argsort(series, kind="stable")
    falls = (np.diff(times[stable]) < 0) & (np.diff(series[stable]) == 0)
    backwards[series[stable][1:][falls]] = True
    if backwards.any():
        say(f"rows were not in order of time in {backwards.sum()} of {len(table.names)} series; sorted")
    result = table.take(order)
    times, series = result.times.values, result.series
    twice = np.flatnonzero((times[1:] == times[:-1]) & (series[1:] == series[:-1])) + 1
    if len(twice):
        first = twice[0]
        raise InputError(
            f"series repeat a time in {counted(len(twice), 'row')}: {result.spoken(first)} stands in "
            f"{rows_at(np.sort(result.positions[[first - 1, first]]))}. Expected one row per series and time; average "
            "or drop the repeats, or, when a column tells several series apart, name it: id_column=... (Local times "
            "repeat an hour in autumn: give them a time zone.)"
        )
    return result
