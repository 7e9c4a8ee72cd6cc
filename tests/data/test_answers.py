"""Answers come back in the kind of frame that came in, at the right times."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from gatework.data import last, read, to_frame
from gatework.say import quiet

FRAME = pd.DataFrame(
    {"unique_id": ["b"] * 3 + ["a"] * 4, "ds": [*pd.date_range("2023-10-31", periods=3, freq="ME"),
     *pd.date_range("2023-11-30", periods=4, freq="ME")], "y": np.arange(7.0)}
)  # fmt: skip


def answer(data, horizon=2, **arguments):
    with quiet():
        panel = read(data, **arguments).extend(horizon)
    index = last(panel)
    series, origins = (tensor.numpy() for tensor in index.locate(torch.arange(len(index))))
    values = np.arange(float(len(panel) * horizon)).reshape(len(panel), horizon)
    return to_frame(panel, {"y_hat": values, "q90": values + 1}, series, origins)


def test_pandas():
    expected = pd.DataFrame(
        {
            "unique_id": ["b", "b", "a", "a"],
            "ds": pd.to_datetime(["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]).as_unit("us"),
            "y_hat": [0.0, 1, 2, 3],
            "q90": [1.0, 2, 3, 4],
        }
    )
    pd.testing.assert_frame_equal(answer(FRAME), expected)


def test_polars():
    frame = answer(pl.DataFrame(FRAME.to_dict("list")).with_columns(pl.col("ds").cast(pl.Date)))
    assert isinstance(frame, pl.DataFrame)
    assert frame.schema == {"unique_id": pl.String, "ds": pl.Date, "y_hat": pl.Float64, "q90": pl.Float64}
    assert [str(day) for day in frame["ds"]] == ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]


def test_arrow():
    table = answer(pa.Table.from_pandas(FRAME, preserve_index=False))
    assert isinstance(table, pa.Table)
    assert table.column_names == ["unique_id", "ds", "y_hat", "q90"]
    assert [str(day) for day in table["ds"].to_pylist()] == ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]


def test_files_and_arrays_are_answered_in_pandas(tmp_path):
    FRAME.to_csv(tmp_path / "d.csv", index=False)
    pd.testing.assert_frame_equal(answer(tmp_path / "d.csv"), answer(FRAME))
    frame = answer(np.arange(5.0))
    assert frame["ds"].tolist() == [5, 6]
    assert frame["unique_id"].tolist() == ["y", "y"]


def test_whole_number_names_stay_numbers():
    frame = answer(FRAME.assign(unique_id=[10] * 3 + [9] * 4))
    assert frame["unique_id"].tolist() == [10, 10, 9, 9]
    assert frame["unique_id"].dtype == np.int64


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow"])
def test_hours_over_the_change_of_clocks(kind):
    hours = pd.date_range("2024-10-26 20:00", periods=5, freq="h", tz="Europe/Berlin")
    frame = pd.DataFrame({"ds": hours, "y": np.arange(5.0)})
    if kind != "pandas":
        arrow = pa.Table.from_pandas(frame)
        frame = arrow if kind == "arrow" else pl.from_arrow(arrow)
    got = answer(frame, horizon=4)
    expected = pd.date_range("2024-10-27 01:00", periods=4, freq="h", tz="Europe/Berlin")
    stamps = {
        "pandas": lambda: got["ds"],
        "polars": lambda: got["ds"].to_list(),
        "arrow": lambda: got["ds"].to_pylist(),
    }
    assert [pd.Timestamp(stamp).tz_convert("UTC") for stamp in stamps[kind]()] == list(expected.tz_convert("UTC"))
    assert [pd.Timestamp(stamp).hour for stamp in stamps[kind]()] == [1, 2, 2, 3]


def test_days_with_a_zone_end_at_midnight_of_the_wall_clock():
    days = pd.date_range("2024-03-28", periods=3, freq="D", tz="Europe/Berlin")
    got = answer(pd.DataFrame({"ds": days, "y": [1.0, 2, 3]}), horizon=2)
    assert [str(stamp) for stamp in got["ds"]] == ["2024-03-31 00:00:00+01:00", "2024-04-01 00:00:00+02:00"]


@pytest.mark.parametrize("alias", ["15min", "h", "D", "B", "W-SUN", "MS", "QE", "YS"])
def test_times_go_on_as_pandas_would(alias):
    dates = pd.date_range("2023-06-30", periods=25, freq=alias)
    got = answer(pd.DataFrame({"ds": dates[:20], "y": np.arange(20.0)}), horizon=5)
    assert list(got["ds"]) == list(dates[20:])
