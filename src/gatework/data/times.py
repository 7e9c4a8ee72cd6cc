"""A column of times, whatever form it came in, as int64: microseconds since 1970, or the integers themselves."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from gatework.data.frequency import DAY, Ints
from gatework.data.wording import rows_at
from gatework.errors import InputError
from gatework.say import say

_DATE_FORMATS = (
    "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%Y/%m/%d", "%d.%m.%Y", "%d.%m.%y", "%m-%d-%Y", "%d-%m-%Y",
    "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%b %Y", "%B %Y", "%b-%Y",
    "%b-%y", "%m/%Y", "%Y/%m",
)  # fmt: skip
_HOURS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_PROBE = 50


@dataclass(frozen=True)
class Times:
    """Timestamps of the rows of a table.

    Args:
        values: int64 [R], microseconds since 1970 (`dates`) or integers.
        dates: which of the two.
        zone: the time zone they came with, None without one.
        wall: with a zone: whether `values` are wall-clock times (daily and coarser data) rather than UTC.
    """

    values: Ints
    dates: bool
    zone: str | None = None
    wall: bool = True


def read_times(column: nw.Series[Any], name: str, wall: bool | None = None) -> Times:
    """The timestamps in `column`.

    Args:
        column: dates, texts that are dates, or whole numbers.
        name: what it is called.
        wall: keep times with a zone on the wall clock (True), in UTC (False), or decide by the data (None): daily and
            coarser data keep the wall clock, since a day may have 23 hours.

    Raises:
        InputError: a row without a time, a date that cannot be read, mixed formats, fractions as integer time.
    """
    missing = np.flatnonzero(column.is_null().to_numpy())
    if len(missing):
        raise InputError(
            f"column {name!r} has no time in {rows_at(missing)}. Expected a time in every row; add or drop them."
        )
    if column.dtype.is_numeric():
        return _integers(column, name)
    if isinstance(column.dtype, nw.Datetime):
        zone = column.dtype.time_zone
        if zone is not None:
            utc = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy()
            return _zoned(pd.DatetimeIndex(utc).tz_localize("UTC"), zone, wall)
        return Times(_microseconds(pd.DatetimeIndex(column.to_numpy())), dates=True)
    if isinstance(column.dtype, nw.Date):
        return Times(_microseconds(pd.DatetimeIndex(column.cast(nw.Datetime("us")).to_numpy())), dates=True)
    values = pd.Series(column.to_list(), dtype=object)
    if all(isinstance(value, datetime.date) for value in values):
        return _objects(values, name, wall)
    return _texts(values, name, wall)


def looks_like_dates(column: nw.Series[Any]) -> bool:
    """Whether a text column reads as dates, judged by its first rows."""
    texts = [str(text) for text in column.drop_nulls().head(_PROBE).to_list()]
    if not texts or not all(re.search(r"\d", text) for text in texts):
        return False
    return any(parsed.notna().all() for _, parsed in _attempts(pd.Series(texts).str.strip()))


def _integers(column: nw.Series[Any], name: str) -> Times:
    numbers = column.cast(nw.Float64).to_numpy()
    broken = np.flatnonzero(~np.isfinite(numbers) | (numbers != np.floor(numbers)))
    if len(broken):
        raise InputError(
            f"column {name!r} holds {numbers[broken[0]]} in {rows_at(broken)}. Expected dates or whole numbers as "
            "time; give another time_column=, or count the rows."
        )
    values = numbers.astype(np.int64)
    year, month, day = values // 10000, values // 100 % 100, values % 100
    if np.all((year >= 1800) & (year <= 2200) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)):
        say(f"column {name!r} holds dates written as numbers, {values[0]}")
        return _texts(pd.Series(values.astype(str)), name)
    return Times(values, dates=False)


def _objects(values: pd.Series[Any], name: str, wall: bool | None) -> Times:
    """Python's own dates and datetimes, with or without a zone."""
    zoned = np.array([getattr(value, "tzinfo", None) is not None for value in values])
    if zoned.any() and not zoned.all():
        raise InputError(
            f"column {name!r} has no time zone in {rows_at(np.flatnonzero(~zoned))}, and one in other rows. Expected "
            "all with a zone or none; convert these."
        )
    parsed = pd.to_datetime(values, errors="coerce", utc=bool(zoned.any()))
    broken = np.flatnonzero(parsed.isna())
    if len(broken):
        raise InputError(
            f"column {name!r} holds {values.iloc[broken[0]]} in {rows_at(broken)}, beyond the dates that can be "
            "counted. Expected years from 1678 to 2261; mend these, or give another time_column=."
        )
    if not zoned.any():
        return Times(_microseconds(pd.DatetimeIndex(parsed)), dates=True)
    say(f"dates in {name!r} carry offsets from UTC; kept in UTC")
    return _zoned(pd.DatetimeIndex(parsed), "UTC", wall)


def _texts(values: pd.Series[Any], name: str, wall: bool | None = None) -> Times:
    codes, distinct = pd.factorize(values.map(str).str.strip())
    texts = pd.Series(distinct)
    attempts = list(_attempts(texts))
    full = [(form, parsed) for form, parsed in attempts if parsed.notna().all()]
    if not full:
        raise InputError(_unread(values, texts, codes, attempts, name))
    form, parsed = full[0]
    if len(full) > 1:
        form, parsed = min(full, key=lambda pair: _disorder(pair[1], codes))
        say(f"dates in {name!r} such as {texts[0]!r} can be read in {len(full)} ways; read as {_spoken(form)}")
    index = pd.DatetimeIndex(parsed)
    if index.tz is not None:
        say(f"dates in {name!r} carry offsets from UTC; kept in UTC")
        return _zoned(index.take(codes), "UTC", wall)
    return Times(_microseconds(index)[codes], dates=True)


def _attempts(texts: pd.Series[Any]) -> list[tuple[str, pd.Series[Any]]]:
    """Each way to read dates under which the first text reads, with what it gives for all of them."""
    quarter: Any = texts.str.fullmatch(r"\d{4}[-\s]?[Qq][1-4]")
    if bool(quarter.iloc[0]):
        month = texts.where(quarter).str[-1].astype(float).mul(3).sub(2)
        dates = texts.where(quarter).str[:4] + "-" + month.map("{:02.0f}".format)
        return [("quarters", pd.to_datetime(dates.where(quarter), format="%Y-%m", errors="coerce"))]
    if re.fullmatch(r"\d{8}", texts.iloc[0]):
        return [("%Y%m%d", pd.to_datetime(texts, format="%Y%m%d", errors="coerce"))]
    zoned = bool(re.search(r"\d:\d\d.*(Z|[+-]\d\d:?\d\d)$", texts.iloc[0]))
    iso = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=zoned)
    if bool(iso.notna().iloc[0]):
        return [("ISO 8601", iso)]
    first = texts.iloc[:1]
    forms = [date + hour for hour in _HOURS for date in _DATE_FORMATS]
    fitting = [form for form in forms if pd.to_datetime(first, format=form, errors="coerce").notna().all()]
    return [(form, pd.to_datetime(texts, format=form, errors="coerce")) for form in fitting]


def _disorder(parsed: pd.Series[Any], codes: Any) -> tuple[int, int]:
    """How irregular dates are: steps backwards, then different step lengths."""
    steps = np.diff(_microseconds(pd.DatetimeIndex(parsed))[codes])
    return int(np.sum(steps < 0)), len(np.unique(steps))


def _unread(
    values: Any, texts: pd.Series[Any], codes: Any, attempts: list[tuple[str, pd.Series[Any]]], name: str
) -> str:
    if not attempts:
        broken = np.flatnonzero(codes == 0)
        return (
            f"column {name!r} holds {texts[0]!r} in {rows_at(broken)}, which is no date that can be read. Expected "
            "dates such as 2024-01-31 or 2024-01-31 18:00, or whole numbers; convert it, or give another time_column=."
        )
    form, parsed = max(attempts, key=lambda pair: int(pair[1].notna().sum()))
    broken = np.flatnonzero(parsed.isna().to_numpy()[codes])
    return (
        f"column {name!r} holds {values.iloc[broken[0]]!r} in {rows_at(broken)}; the first date, {texts[0]!r}, reads "
        f"as {_spoken(form)} and these do not. Expected one way of writing dates in the whole column; mend these rows."
    )


def _spoken(form: str) -> str:
    words = {"%m": "month", "%d": "day", "%Y": "year", "%y": "year", "%b": "month", "%B": "month"}
    return (
        form
        if "%" not in form
        else re.sub(r"%[mdYybB]", lambda m: words[m[0]], form.partition(" %H")[0].partition(" %I")[0])
    )


def _zoned(index: pd.DatetimeIndex, zone: str, wall: bool | None) -> Times:
    local = index.tz_convert(zone)
    clock = _microseconds(local.tz_localize(None))
    if wall is None:
        wall = bool(np.all(clock % DAY == clock[0] % DAY))
    values = clock if wall else _microseconds(local.tz_convert("UTC").tz_localize(None))
    return Times(values, dates=True, zone=zone, wall=wall)


def _microseconds(index: pd.DatetimeIndex) -> Ints:
    return index.to_numpy().astype("datetime64[us]").astype(np.int64)
