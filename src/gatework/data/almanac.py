"""Calendar features of timestamps: where each stands in the day, week, month and year, on circles."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatework.data.frequency import DAY, Frequency, Ints

CYCLES = {"hour": DAY, "weekday": 7 * DAY, "day": 30 * DAY, "year": 365 * DAY}  # approximate lengths, microseconds
# a cycle seen less often is a trend to a network, not a season; the few months of a year it learns by heart
_REPEATS = {"hour": 2, "weekday": 2, "day": 24, "year": 2}


def cycles(frequency: Frequency, span: int) -> tuple[str, ...]:
    """The cycles that data of this frequency and span (microseconds) can tell: two steps long, and seen twice.

    The days of the month must be seen in two years.
    """
    if not frequency.is_dates:
        return ()
    step = {"month": 28 * DAY * frequency.step, "business day": DAY}.get(frequency.unit, frequency.step)
    return tuple(name for name, length in CYCLES.items() if 2 * step <= length and span >= _REPEATS[name] * length)


def feature_names(names: tuple[str, ...]) -> list[str]:
    """Two features for each cycle, the sine and the cosine of its phase."""
    return [f"{name}_{wave}" for name in names for wave in ("sin", "cos")]


def features(times: Ints, names: tuple[str, ...], zone: str | None = None) -> NDArray[np.float32]:
    """Calendar features, float32 [R, 2 * len(names)].

    Args:
        times: microseconds since 1970, int64 [R].
        names: the cycles, from `cycles`.
        zone: the time zone to take the wall clock of, when `times` are UTC.
    """
    if not names:
        return np.empty((len(times), 0), dtype=np.float32)
    distinct, where = np.unique(times, return_inverse=True)
    index = pd.DatetimeIndex(distinct.astype("datetime64[us]"))
    if zone is not None:
        index = index.tz_localize("UTC").tz_convert(zone).tz_localize(None)
    wall = index.to_numpy().astype("datetime64[us]").astype(np.int64)
    hour = wall % DAY / DAY
    phases = {
        "hour": hour,
        "weekday": (index.day_of_week.to_numpy() + hour) / 7,
        "day": (index.day.to_numpy() - 1 + hour) / index.days_in_month.to_numpy(),
        "year": (index.day_of_year.to_numpy() - 1 + hour) / np.where(index.is_leap_year, 366, 365),
    }
    waves = [wave(2 * np.pi * phases[name]) for name in names for wave in (np.sin, np.cos)]
    return np.stack(waves, axis=1).astype(np.float32)[where]
