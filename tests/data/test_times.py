"""Columns of times in the forms that people have them in."""

import datetime

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gatework.data.times import read_times
from gatework.say import quiet, recording

EXPECTED = ["2024-01-30", "2024-02-03", "2024-12-13"]


def read(values, **keywords):
    series = values if isinstance(values, nw.Series) else nw.from_native(pd.Series(values), series_only=True)
    with quiet():
        return read_times(series, "when", **keywords)


def days(times) -> list[str]:
    return [str(day) for day in times.values.astype("datetime64[us]").astype("datetime64[D]")]


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d-%m-%Y",
     "%d-%b-%Y", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M",
     "%m/%d/%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M %p", " %Y-%m-%d "],
)  # fmt: skip
def test_ways_of_writing_dates(form):
    assert days(read([pd.Timestamp(day).strftime(form) for day in EXPECTED])) == EXPECTED


@pytest.mark.parametrize("form", ["%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%Y", "%b-%y"])
def test_ways_of_writing_months(form):
    dates = pd.date_range("2023-11-01", periods=4, freq="MS")
    assert days(read(dates.strftime(form))) == ["2023-11-01", "2023-12-01", "2024-01-01", "2024-02-01"]


@pytest.mark.parametrize("texts", [["1956Q1", "1956Q3"], ["1956-Q1", "1956-Q3"], ["1956 q1", "1956 q3"]])
def test_quarters(texts):
    assert days(read(texts)) == ["1956-01-01", "1956-07-01"]


def test_day_and_month_told_apart_by_regularity():
    """Read month first, 1/2 to 1/12 are eleven days in a row; read day first, monthly steps of unequal length."""
    with recording() as lines:
        times = read([f"{month}/{day}/2024" for month, day in [(1, d) for d in range(1, 13)]])
    assert days(times)[1] == "2024-01-02"
    assert any("can be read in 2 ways; read as month/day/year" in line for line in lines)
    monthly = read([f"1/{month}/2024" for month in range(1, 13)])
    assert days(monthly)[1] == "2024-01-02"  # as regular either way: the first way is taken, and said
    firsts = read(["31/1/2024", "29/2/2024"])
    assert days(firsts) == ["2024-01-31", "2024-02-29"]


def test_dates_written_as_numbers():
    with recording() as lines:
        assert days(read([20240130, 20240203, 20241213])) == EXPECTED
    assert "column 'when' holds dates written as numbers, 20240130" in lines


def test_years_are_whole_numbers():
    times = read([1949, 1950])
    assert (times.dates, times.values.tolist()) == (False, [1949, 1950])


def test_whole_floats_are_integers():
    assert read([1.0, 2.0]).values.tolist() == [1, 2]


@pytest.mark.parametrize(
    "kind", ["python dates", "python datetimes", "polars dates", "polars", "arrow", "milliseconds"]
)
def test_each_type_of_dates(kind):
    dates = [datetime.date.fromisoformat(day) for day in EXPECTED]
    stamps = [datetime.datetime.fromisoformat(day) for day in EXPECTED]
    series = {
        "python dates": pd.Series(dates, dtype=object),
        "python datetimes": pd.Series(stamps, dtype=object),
        "polars dates": pl.Series(dates),
        "polars": pl.Series(stamps),
        "arrow": pa.chunked_array([pa.array(dates)]),
        "milliseconds": pl.Series(stamps, dtype=pl.Datetime("ms")),
    }[kind]
    assert days(read(nw.from_native(series, series_only=True))) == EXPECTED


def polars_zoned(hours: pd.DatetimeIndex) -> pl.Series:
    utc = pl.Series(hours.tz_convert("UTC").tz_localize(None).to_pydatetime().tolist())
    return utc.dt.replace_time_zone("UTC").dt.convert_time_zone(str(hours.tz))


@pytest.mark.parametrize("make", [pd.Series, polars_zoned])
def test_hours_with_a_zone_are_counted_in_utc(make):
    """The night of 31 March 2024 has no hour from 2 to 3 in Berlin, and 27 October has it twice."""
    hours = pd.date_range("2024-03-30 22:00", periods=6, freq="h", tz="Europe/Berlin")
    times = read(nw.from_native(make(hours), series_only=True))
    assert (times.zone, times.wall) == ("Europe/Berlin", False)
    assert np.diff(times.values).tolist() == [3_600_000_000] * 5
    assert str(times.values[0].astype("datetime64[us]")) == "2024-03-30T21:00:00.000000"


def test_datetimes_with_offsets():
    offset = datetime.timezone(datetime.timedelta(hours=1))
    stamps = [
        datetime.datetime(2024, 3, 31, 1, 30, tzinfo=offset),
        datetime.datetime(2024, 3, 31, 1, 30, tzinfo=datetime.UTC),
    ]
    times = read(pd.Series(stamps, dtype=object))
    assert (times.zone, np.diff(times.values).tolist()) == ("UTC", [3_600_000_000])


def test_days_with_a_zone_keep_the_wall_clock():
    dates = pd.date_range("2024-03-30", periods=4, freq="D", tz="Europe/Berlin")
    times = read(pd.Series(dates))
    assert (times.zone, times.wall) == ("Europe/Berlin", True)
    assert days(times) == ["2024-03-30", "2024-03-31", "2024-04-01", "2024-04-02"]


def test_texts_with_offsets_are_kept_in_utc():
    with recording() as lines:
        times = read(["2024-03-31T01:30:00+01:00", "2024-03-31T03:30:00+02:00", "2024-03-31T02:30:00Z"])
    assert (times.zone, times.wall) == ("UTC", False)
    assert np.diff(times.values).tolist() == [3_600_000_000] * 2
    assert "dates in 'when' carry offsets from UTC; kept in UTC" in lines


def test_far_dates():
    assert days(read(["1749-01", "1749-02"])) == ["1749-01-01", "1749-02-01"]
