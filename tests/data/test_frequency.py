"""Frequencies: inferred with and without gaps, counted, walked forward, held against pandas."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatework.data.frequency import Frequency, infer, parse
from gatework.errors import ArtefactError

# alias: seasonal period
ALIASES = {
    "s": 60, "30s": 2, "min": 1440, "5min": 288, "15min": 96, "30min": 48, "h": 24, "3h": 8, "6h": 4, "D": 7, "2D": 1,
    "B": 5, "W-SUN": 52, "W-WED": 52, "2W-MON": 1, "MS": 12, "ME": 12, "2MS": 6, "QS": 4, "QE": 4, "YS": 1, "YE": 1,
}  # fmt: skip


def microseconds(dates) -> np.ndarray:
    return pd.DatetimeIndex(dates).to_numpy().astype("datetime64[us]").astype(np.int64)


def inferred(dates) -> Frequency | None:
    times = microseconds(dates)
    return infer(times, np.zeros(len(times), dtype=np.int64), dates=True)


@pytest.mark.parametrize("alias", ALIASES)
def test_inferred_counted_and_walked_as_pandas_does(alias):
    dates = pd.date_range("2023-11-30", periods=60, freq=alias)
    frequency = inferred(dates)
    assert str(frequency) == alias
    assert frequency.season == ALIASES[alias]
    times = microseconds(dates)
    ordinals, fits = frequency.ordinals(times, np.full(60, times[0]))
    assert fits.all()
    assert ordinals.tolist() == list(range(60))
    assert frequency.at(np.full(60, times[0]), np.arange(60)).tolist() == times.tolist()
    assert Frequency.from_json(frequency.to_json()) == frequency


@pytest.mark.parametrize("alias", ALIASES)
def test_parsed_from_its_alias(alias):
    times = microseconds(pd.date_range("2024-01-01", periods=9, freq=alias))
    frequency = parse(alias)
    assert str(frequency) == alias
    assert frequency.at(np.full(9, times[0]), np.arange(9)).tolist() == times.tolist()


@pytest.mark.parametrize(
    ("old", "new"), [("M", "ME"), ("H", "h"), ("15T", "15min"), ("Q", "QE"), ("A", "YE"), ("W", "W"), ("S", "s")]
)
def test_old_aliases_still_parse(old, new):
    assert str(parse(old)) == new


@pytest.mark.parametrize("alias", ["h", "15min", "D", "W-FRI", "MS", "ME", "QE", "YS"])
def test_gaps_do_not_hide_the_step(alias):
    dates = pd.date_range("2015-01-01", periods=80, freq=alias)
    kept = np.sort(np.random.default_rng(0).choice(80, 60, replace=False))
    frequency = inferred(dates[kept])
    assert str(frequency) == alias
    times = microseconds(dates[kept])
    assert frequency.ordinals(times, np.full(60, times[0]))[0].tolist() == (kept - kept[0]).tolist()


def test_business_days_with_holidays():
    dates = pd.date_range("2024-01-01", periods=60, freq="B").drop(["2024-01-15", "2024-02-19"])
    assert str(inferred(dates)) == "B"


def test_daily_data_without_a_weekend_in_reach_are_daily():
    assert str(inferred(pd.date_range("2024-01-01", periods=5))) == "D"


@pytest.mark.parametrize("day", [2, 15, 28, 29, 30, 31])
def test_months_on_any_day(day):
    """The 30th of each month stands on the last day of February."""
    dates = [pd.Timestamp(2023, m, min(day, pd.Timestamp(2023, m, 1).days_in_month)) for m in range(1, 13)]
    frequency = inferred(dates)
    assert frequency == Frequency("month", 1, day)
    start = microseconds(dates[:1])
    ahead = pd.to_datetime(frequency.at(np.repeat(start, 2), np.array([13, 25])), unit="us")
    assert list(ahead.day) == [min(day, 29), min(day, 28)]  # 2024 is a leap year, 2025 is not


def test_months_keep_their_time_of_day():
    dates = pd.date_range("2024-01-31 18:30", periods=5, freq="ME")
    frequency = inferred(dates)
    times = microseconds(dates)
    assert frequency.at(np.full(5, times[0]), np.arange(5)).tolist() == times.tolist()
    _, fits = frequency.ordinals(times + 1, np.full(5, times[0]))
    assert not fits.any()


@pytest.mark.parametrize(
    "dates",
    [
        ["2024-01-01", "2024-01-03", "2024-01-06"],
        ["2024-01-01", "2024-01-31", "2024-03-07"],
        ["2024-01-01 00:00", "2024-01-01 00:07", "2024-01-01 00:17"],
    ],
)
def test_no_regular_step(dates):
    assert inferred(dates) is None


def test_integers():
    times, series = np.array([3, 5, 9, 100, 102]), np.array([0, 0, 0, 1, 1])
    frequency = infer(times, series, dates=False)
    assert frequency == Frequency("integer", 2)
    assert frequency.ordinals(times, np.array([3, 3, 3, 100, 100]))[0].tolist() == [0, 1, 3, 0, 1]


def test_each_series_has_its_own_first_row():
    """Two weekly series on different weekdays share the step of a week."""
    monday, friday = (
        pd.date_range("2024-01-01", periods=4, freq="W-MON"),
        pd.date_range("2024-01-05", periods=4, freq="7D"),
    )
    frequency = infer(np.concatenate([microseconds(monday), microseconds(friday)]), np.repeat([0, 1], 4), dates=True)
    assert str(frequency) == "W"


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(ALIASES)),
    st.datetimes(pd.Timestamp("1850-01-01"), pd.Timestamp("2200-01-01")),
    st.integers(0, 400),
)
def test_walking_forward_equals_pandas(alias, start, steps):
    first = pd.Timestamp(start).floor("D")
    offset = pd.tseries.frequencies.to_offset(alias)
    first = offset.rollforward(first) if hasattr(offset, "rollforward") else first
    expected = first + steps * offset if steps else first
    got = parse(alias).at(microseconds([first]), np.array([steps]))
    assert got.tolist() == microseconds([expected]).tolist()


@pytest.mark.parametrize(
    "value",
    [None, {}, {"unit": "year", "step": 1, "day": 0}, {"unit": "month", "step": 0, "day": 1},
     {"unit": "month", "step": 1.0, "day": 1}, {"unit": "month", "step": 1, "day": 32}],
)  # fmt: skip
def test_a_damaged_description_is_refused(value):
    with pytest.raises(ArtefactError, match="does not describe a frequency"):
        Frequency.from_json(value)
