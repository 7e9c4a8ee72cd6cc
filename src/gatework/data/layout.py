"""Rows of a table laid out on their regular time axis: gaps become rows without a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gatework.data.frequency import Bools, Frequency, Ints
from gatework.data.panel import Panel
from gatework.data.rows import Rows
from gatework.data.values import Floats
from gatework.data.wording import counted, listed, rows_at
from gatework.errors import InputError
from gatework.say import say

if TYPE_CHECKING:
    from gatework.data.schema import Schema


def lay_out(table: Rows, schema: Schema, backend: str) -> Panel:
    """The panel of rows that are in order of series and time.

    A series starts at its first known target and ends at its last; what is missing in between is marked and filled
    with the last known value.

    Raises:
        InputError: no target at all; rows off the step; a jump that would add far more rows than there are; a static
            covariate that changes within a series.
    """
    count = len(table.names)
    known = ~np.isnan(table.target)
    if not known.any():
        raise InputError(
            f"the target {', '.join(schema.targets)} has no value in any of {len(known)} rows. Expected numbers; "
            "name another column (target=...), or fill it."
        )
    first_known = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first_known, table.series[known], table.times.values[known])
    leading = table.times.values < first_known[table.series]
    static = _static(table, schema)
    if leading.any():
        inside = first_known[table.series] != np.iinfo(np.int64).max
        told = int((leading & inside).sum())
        if told:
            say(f"left out {counted(told, 'row')} before the first value of the series")
        table = table.take(~leading)
        known = known[~leading]
    starts = np.where(first_known == np.iinfo(np.int64).max, 0, first_known)
    ordinals = _ordinals(table, schema.frequency, starts)
    lengths = np.zeros(count, dtype=np.int64)
    np.maximum.at(lengths, table.series, ordinals + 1)
    _check_jumps(table, ordinals, int(lengths.sum()))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    at = offsets[table.series] + ordinals

    ends = offsets[:-1].copy()
    np.maximum.at(ends, table.series[known], at[known] + 1)
    values = np.full(offsets[-1], np.nan)
    values[at] = table.target
    observed = ~np.isnan(values)
    beyond = np.arange(len(values)) >= np.repeat(ends, lengths)
    present = np.zeros(len(values), dtype=bool)
    present[at] = True
    _say_missing(table, schema, observed, beyond, present)
    past, future = _scatter(table.past, at, len(values)), _scatter(table.future, at, len(values))
    return Panel(
        schema=schema,
        ids=table.names,
        codes=schema.codes(table.names),
        offsets=offsets,
        ends=ends,
        starts=starts,
        values=np.where(beyond, np.nan, _fill(values[:, None], offsets[:-1], lengths, ~beyond)[:, 0]),
        observed=observed & ~beyond,
        past=_filled(past, schema.past_names, offsets, lengths, ~beyond).astype(np.float32),
        future=_filled(future, schema.future_names, offsets, lengths, ~beyond).astype(np.float32),
        static=static.astype(np.float32),
        backend=backend,
    )


def irregular(table: Rows, frequency: Frequency | None) -> InputError:
    """The error for rows (in order) whose times do not keep to `frequency`, or to any step when it is None."""
    times, series = table.times.values, table.series
    inside = series[1:] == series[:-1]
    steps = np.diff(times)
    lengths, counts = np.unique(steps[inside], return_counts=True)
    usual = lengths[counts.argmax()]
    odd = np.flatnonzero(inside & (steps % usual != 0)) + 1
    step = f"{usual}" if not table.times.dates else str(Frequency("microsecond", int(usual)))
    shown = "; ".join(f"{table.spoken(row)} ({rows_at(table.positions[[row]])})" for row in odd[:3])
    told = str(frequency) if frequency else f"{step} (the usual one, {counts.max()} of {inside.sum()})"
    return InputError(
        f"times do not keep to one step: expected {told}, off it: {counted(len(odd), 'row')}, {shown}. Mend or drop "
        "these rows, resample the data to a regular step, or give the step: freq='h', 'D', 'MS' ..."
    )


def _ordinals(table: Rows, frequency: Frequency, starts: Ints) -> Ints:
    ordinals, fits = frequency.ordinals(table.times.values, starts[table.series])
    off = np.flatnonzero(~fits)
    if len(off):
        shown = "; ".join(f"{table.spoken(row)} ({rows_at(table.positions[[row]])})" for row in off[:3])
        raise InputError(
            f"{counted(len(off), 'row')} off the frequency {frequency}, counted from the start of the series: "
            f"{shown}. Mend or drop these rows, resample the data, or give another freq=."
        )
    same = np.flatnonzero((np.diff(ordinals) == 0) & (np.diff(table.series) == 0)) + 1
    if len(same):
        raise InputError(
            f"{counted(len(same), 'row')} on the same step of {frequency} as the row before, such as "
            f"{table.spoken(same[0])}. Expected one row per step; aggregate them, or give a finer freq=."
        )
    return ordinals


def _check_jumps(table: Rows, ordinals: Ints, length: int) -> None:
    if length <= 20 * len(ordinals) + 10_000:
        return
    jumps = np.where(np.diff(table.series) == 0, np.diff(ordinals), 0)
    row = int(jumps.argmax()) + 1
    raise InputError(
        f"between {table.spoken(row - 1)} and {table.spoken(row)} ({rows_at(table.positions[[row]])}) "
        f"{counted(int(jumps.max()) - 1, 'step')} missing; filling all gaps would make {length} rows of "
        f"{len(ordinals)}. Expected few gaps; is a date mistyped? Mend it, or give a coarser freq=."
    )


def _say_missing(table: Rows, schema: Schema, observed: Bools, beyond: Bools, present: Bools) -> None:
    inserted = int((~present & ~beyond).sum())
    if inserted:
        gaps = int(((np.diff(present.astype(np.int8)) == -1) & ~beyond[1:]).sum())
        say(f"gaps: {counted(inserted, 'missing timestamp')} in {counted(gaps, 'place')}, inserted without a value")
    missing = int((present & ~observed & ~beyond).sum())
    if missing:
        say(f"missing values: {missing} of {len(table.target)} targets; filled forward as input, not scored")
    trailing = int((present & beyond).sum())
    if trailing:
        use = "they give the future covariates" if schema.future else "left out"
        say(f"{counted(trailing, 'row')} after the last target of the series: {use}")


def _scatter(values: Floats, at: Ints, length: int) -> Floats:
    result = np.full((length, values.shape[1]), np.nan)
    result[at] = values
    return result


def _filled(values: Floats, names: list[str], offsets: Ints, lengths: Ints, inside: Bools) -> Floats:
    missing = np.isnan(values) & inside[:, None]
    if missing.any():
        counts = [f"{name} ({n})" for name, n in zip(names, missing.sum(axis=0), strict=True) if n]
        say(f"missing covariates, filled forward: {listed(counts)}")
    return _fill(values, offsets[:-1], lengths, inside)


def _fill(values: Floats, starts: Ints, lengths: Ints, inside: Bools) -> Floats:
    """Missing values where `inside` replaced by the last one known in the same series; none known: still missing."""
    own_start = np.repeat(starts, lengths)[:, None]
    known = ~np.isnan(values)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values))[:, None], -1), axis=0)
    usable = (last >= own_start) & inside[:, None] & ~known
    filled = np.take_along_axis(values, np.maximum(last, 0), axis=0) if len(values) else values
    return np.where(usable, filled, values)


def _static(table: Rows, schema: Schema) -> Floats:
    """One row per series; InputError where a series has two values."""
    count, width = len(table.names), table.static.shape[1]
    low, high = np.full((count, width), np.inf), np.full((count, width), -np.inf)
    np.fmin.at(low, table.series, table.static)
    np.fmax.at(high, table.series, table.static)
    known = np.isfinite(low)
    changing = np.argwhere(known & (low != high))
    if len(changing):
        series, feature = changing[0]
        name = schema.static_names[feature]
        raise InputError(
            f"the static covariate {name} changes within {len(set(changing[:, 0]))} series, first in "
            f"{table.names[series]!r} (from {low[series, feature]:g} to {high[series, feature]:g}). Expected one value "
            "per series; correct it, or give the column as a past or future covariate."
        )
    return np.where(known, low, np.nan)
