"""The step between the rows of a series: inferred from its timestamps, counted in, and walked forward.

Timestamps are int64: microseconds since 1970 for dates, the number itself for integer time. A `Frequency` turns them
into ordinals (0, 1, 2 ... from the first row of their series) and back, so that gaps, horizons and month ends are
integer arithmetic everywhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatework.errors import ArtefactError, InputError

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Unit = Literal["microsecond", "month", "business day", "integer"]

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86400 * SECOND
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_FIXED = (("W", 7 * DAY), ("D", DAY), ("h", HOUR), ("min", MINUTE), ("s", SECOND), ("ms", 1000), ("us", 1))
_OLD_ALIASES = {"M": "ME", "Q": "QE", "Y": "YE", "A": "YE", "H": "h", "T": "min", "S": "s", "L": "ms", "U": "us"}


@dataclass(frozen=True)
class Frequency:
    """A regular step.

    Args:
        unit: "microsecond" (fixed length), "month", "business day" (Monday to Friday) or "integer".
        step: how many units, 1 or more.
        day: months: the day of the month, 1..31, where 31 means the last; whole weeks: the weekday, 1 (Monday) to 7,
            or 0 for any; elsewhere 0.
    """

    unit: Unit
    step: int
    day: int = 0

    def __str__(self) -> str:
        """The pandas alias where there is one: "MS", "QE", "15min", "B"; "integer" for numbers and row order."""
        if self.unit == "integer":
            return "integer" if self.step == 1 else f"integer, step {self.step}"
        if self.unit == "business day":
            return "B"
        if self.unit == "month":
            count, letter = next((self.step // n, c) for n, c in ((12, "Y"), (3, "Q"), (1, "M")) if self.step % n == 0)
            side = {1: "S", 31: "E"}.get(self.day, f" on day {self.day}")
            return f"{count if count > 1 else ''}{letter}{side}"
        count, alias = next((self.step // n, c) for c, n in _FIXED if self.step % n == 0)
        return f"{count if count > 1 else ''}{alias}{f'-{_WEEKDAYS[self.day - 1]}' if self.day else ''}"

    @property
    def is_dates(self) -> bool:
        """Whether timestamps are dates (and not integers)."""
        return self.unit != "integer"

    @property
    def season(self) -> int:
        """The customary seasonal period in rows: 12 for months, 7 for days, 24 for hours ...; 1 where there is none."""
        if self.unit == "business day":
            return 5
        if self.unit == "month":
            return 12 // self.step if 12 % self.step == 0 else 1
        if self.unit == "integer":
            return 1
        if self.step == DAY:
            return 7
        if self.step == 7 * DAY:
            return 52
        cycle = DAY if self.step >= MINUTE else MINUTE
        return cycle // self.step if cycle % self.step == 0 else 1

    def ordinals(self, times: Ints, starts: Ints) -> tuple[Ints, Bools]:
        """Steps from `starts` (the first timestamp of each row's series) to `times`, and whether they fit."""
        if self.unit in ("microsecond", "integer"):
            count, rest = np.divmod(times - starts, self.step)
            return count, (rest == 0) & ((self.day == 0) | (_weekday(times) == self.day))
        same_hour = times % DAY == starts % DAY
        if self.unit == "business day":
            day, first = _days(times), _days(starts)
            fits = np.is_busday(day) & np.is_busday(first) & same_hour
            return np.busday_count(first, day).astype(np.int64), fits
        count, rest = np.divmod(_months(times) - _months(starts), self.step)
        on_day = _day_of_month(times) == np.minimum(self.day, _month_length(_months(times)))
        return count, (rest == 0) & same_hour & on_day

    def at(self, starts: Ints, ordinals: Ints) -> Ints:
        """The timestamps `ordinals` steps after `starts`."""
        if self.unit in ("microsecond", "integer"):
            return starts + ordinals * self.step
        if self.unit == "business day":
            days = np.busday_offset(_days(starts), ordinals, roll="forward")
        else:
            months = _months(starts) + ordinals * self.step
            day = np.minimum(self.day, _month_length(months)) - 1
            days = months.astype("datetime64[M]").astype("datetime64[D]") + day
        return days.astype("datetime64[us]").astype(np.int64) + starts % DAY

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return {"unit": self.unit, "step": self.step, "day": self.day}

    @classmethod
    def from_json(cls, value: Any) -> Frequency:
        """The frequency that `to_json` described; ArtefactError when it is not one."""
        units = ("microsecond", "month", "business day", "integer")
        fits = isinstance(value, dict) and value.keys() == {"unit", "step", "day"} and value["unit"] in units
        if not fits or type(value["step"]) is not int or value["step"] < 1 or value["day"] not in range(32):
            raise ArtefactError(f"{str(value)[:80]!r} does not describe a frequency. The file is damaged; restore it.")
        return cls(value["unit"], value["step"], value["day"])


def parse(text: str) -> Frequency:
    """The frequency that a pandas alias names: "MS", "W-SUN", "15min", "B" ...; "integer" for integer time.

    Raises:
        InputError: unknown, or without a regular step.
    """
    if text in ("integer", "rows"):
        return Frequency("integer", 1)
    current = re.sub(r"^(\d*)([A-Z])(-[A-Z]{3})?$", lambda m: m[1] + _OLD_ALIASES.get(m[2], m[2]) + (m[3] or ""), text)
    try:
        offset: Any = pd.tseries.frequencies.to_offset(current)
    except ValueError as error:
        raise InputError(
            f"freq={text!r} is not a frequency. Expected a pandas alias: 'h', '15min', 'D', 'B', 'W', 'MS' (month "
            "start), 'ME' (month end), 'QS', 'YS', with a number before it for multiples; or 'integer'."
        ) from error
    count, name = offset.n, type(offset).__name__
    if count > 0 and name in ("Hour", "Minute", "Second", "Milli", "Micro", "Day", "Week"):
        unit = {
            "Week": 7 * DAY,
            "Day": DAY,
            "Hour": HOUR,
            "Minute": MINUTE,
            "Second": SECOND,
            "Milli": 1000,
            "Micro": 1,
        }
        day = offset.weekday + 1 if name == "Week" and "-" in text else 0
        return Frequency("microsecond", count * unit[name], day)
    months = {"Month": 1, "Quarter": 3, "Year": 12}.get(name.removesuffix("Begin").removesuffix("End"))
    if count > 0 and months:
        return Frequency("month", count * months, 1 if name.endswith("Begin") else 31)
    if count == 1 and name == "BusinessDay":
        return Frequency("business day", 1)
    raise InputError(
        f"freq={text!r} has no regular step that Gatework counts in; use one such as 'D', 'B', 'W' or 'MS'."
    )


def infer(times: Ints, series: Ints, dates: bool) -> Frequency | None:
    """The frequency of timestamps sorted by series and time, without duplicates.

    Args:
        times: int64 [R].
        series: the series each belongs to, int64 [R].
        dates: whether `times` are microseconds (else integers).

    Returns:
        None when the timestamps share no regular step.

    Raises:
        InputError: no series has two rows.
    """
    steps = np.diff(times)[series[1:] == series[:-1]]
    if len(steps) == 0:
        raise InputError(
            "the step between rows cannot be inferred: every series has one row only. Expected at least two rows in a "
            "series; add rows, or pass freq= (such as 'D' or 'MS')."
        )
    if not dates:
        return _regular(steps, "integer")
    if np.all(steps % DAY == 0):
        found = _monthly(times, series, steps) or _business(times, steps) or _weekly(times, steps)
        return found or _regular(steps, "microsecond")
    return _regular(steps, "microsecond")


def _regular(steps: Ints, unit: Unit, day: int = 0) -> Frequency | None:
    """One fixed step that all `steps` are multiples of: the smallest, unless nearly all rows keep to a longer one."""
    lengths, counts = np.unique(steps, return_counts=True)
    usual = lengths[counts.argmax()]
    if np.any(steps % lengths[0]) or (usual != lengths[0] and counts.max() >= 0.9 * len(steps)):
        return None
    return Frequency(unit, int(lengths[0]), day)


def _monthly(times: Ints, series: Ints, steps: Ints) -> Frequency | None:
    if steps.min() < 28 * DAY:
        return None
    months = _months(times)
    day, length = _day_of_month(times), _month_length(months)
    anchor = 31 if np.all(day == length) else int(day.max())
    if np.any(day != np.minimum(anchor, length)):
        return None
    return _regular(np.diff(months)[series[1:] == series[:-1]], "month", anchor)


def _business(times: Ints, steps: Ints) -> Frequency | None:
    """Business days: daily, never on a weekend, and at least one Friday followed by a Monday."""
    if steps.min() != DAY or not np.any(steps == 3 * DAY) or not np.all(np.is_busday(_days(times))):
        return None
    return Frequency("business day", 1)


def _weekly(times: Ints, steps: Ints) -> Frequency | None:
    """Whole weeks, all on one weekday."""
    day = _weekday(times)
    if np.any(steps % (7 * DAY)) or np.any(day != day[0]):
        return None
    return _regular(steps, "microsecond", int(day[0]))


def _weekday(times: Ints) -> Ints:
    """1 for Monday to 7 for Sunday."""
    return (times // DAY + 3) % 7 + 1


def _days(times: Ints) -> NDArray[np.datetime64]:
    return times.astype("datetime64[us]").astype("datetime64[D]")


def _months(times: Ints) -> Ints:
    return times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def _day_of_month(times: Ints) -> Ints:
    days = _days(times)
    within = days - days.astype("datetime64[M]").astype("datetime64[D]")
    return np.asarray(within.astype(np.int64) + 1)


def _month_length(months: Ints) -> Ints:
    first = months.astype("datetime64[M]").astype("datetime64[D]")
    after = (months + 1).astype("datetime64[M]").astype("datetime64[D]")
    return np.asarray((after - first).astype(np.int64))
