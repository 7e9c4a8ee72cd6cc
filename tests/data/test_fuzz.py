"""Whatever a file or a frame holds, `read` gives series or an InputError, never another exception or a wrong shape."""

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatework.data import Panel, Windows, read, split
from gatework.errors import InputError
from gatework.say import quiet

FIELDS = st.sampled_from(
    ["", "1", "2.5", "-3e2", "nan", "inf", "NA", "abc", "2024-01-01", "2024-01-02", "2024-02-30", "3/4/2024",
     "Jan 2024", "2024Q1", "20240101", "1956", '"', "'", "é", "1,5", "1;5", "\t", " ", "#", "True", "9" * 30, "0x1f",
     "12:30", "\\N"]
)  # fmt: skip
HEADERS = st.sampled_from(["ds", "y", "unique_id", "date", "value", "t", "", "1", "price", "Year", "month", "é", "ds "])
CELLS = st.one_of(
    st.none(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.integers(-(10**20), 10**20),
    st.text(max_size=5),
    st.booleans(),
    st.dates(),
    st.datetimes(),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
)
RELAXED = settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def sound(panel: Panel) -> None:
    """The invariants that everything after `read` relies on."""
    rows = len(panel.values)
    assert panel.offsets[0] == 0
    assert panel.offsets[-1] == rows == len(panel.observed) == len(panel.times)
    assert (panel.ends >= panel.offsets[:-1]).all()
    assert (panel.ends <= panel.offsets[1:]).all()
    inside = np.arange(rows) < panel.ends[panel.row_series]
    assert np.isfinite(panel.values[inside]).all()
    assert not panel.observed[~inside].any()
    if (panel.lengths >= 3).all():
        parts = split(panel, 1)
        for numbers in parts.train.batches(50):
            batch = Windows(panel, 3, 1).batch(*parts.train.locate(numbers))
            assert all(bool(tensor.isfinite().all()) for tensor in batch.values())


def attempt(data, **arguments) -> None:
    try:
        with quiet():
            panel = read(data, **arguments)
    except InputError:
        return
    sound(panel)


@RELAXED
@given(st.lists(HEADERS, min_size=1, max_size=4), st.lists(st.lists(FIELDS, min_size=0, max_size=4), max_size=6))
def test_texts(tmp_path, header, lines):
    path = tmp_path / "data.csv"
    path.write_text("\n".join(",".join(fields) for fields in [header, *lines]))
    attempt(path)


@RELAXED
@given(st.binary(max_size=200), st.sampled_from(["csv", "csv.gz", "tsv", "jsonl", "jsonl.gz", "parquet", "txt"]))
def test_bytes(tmp_path, data, ending):
    path = tmp_path / f"data.{ending}"
    path.write_bytes(data)
    attempt(path)


@RELAXED
@given(st.lists(st.dictionaries(HEADERS, st.one_of(FIELDS, st.integers(), st.floats()), max_size=4), max_size=6))
def test_lines(tmp_path, rows):
    import json

    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    attempt(path)


@RELAXED
@given(st.data())
def test_frames(data):
    rows = data.draw(st.integers(0, 6))
    names = data.draw(st.lists(HEADERS, min_size=1, max_size=4))
    columns = [data.draw(st.lists(CELLS, min_size=rows, max_size=rows)) for _ in names]
    frame = pd.DataFrame({i: pd.Series(column, dtype=object) for i, column in enumerate(columns)})
    frame.columns = names
    if data.draw(st.booleans()):
        frame = frame.infer_objects()
    attempt(frame, **data.draw(st.sampled_from([{}, {"target": names[0]}, {"past_covariates": [names[-1]]}])))


@RELAXED
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.floats(-1e6, 1e6)), min_size=2, max_size=30),
    st.sampled_from(["D", "h", "MS", "ME", "B", "W-SUN"]),
)
def test_rows_of_a_calendar_in_any_order_and_with_gaps(rows, alias):
    """Every value that was given stands in the panel at its own time, and nothing else is observed."""
    dates = pd.date_range("2020-01-31", periods=50, freq=alias)
    given_rows = {(name, step): value for name, step, value in rows}
    frame = pd.DataFrame(
        [(name, dates[step], value) for (name, step), value in given_rows.items()], columns=["unique_id", "ds", "y"]
    )
    with quiet():
        panel = read(frame, freq=alias, id_column="unique_id", time_column="ds", target="y")
    sound(panel)
    times = pd.to_datetime(panel.times, unit="us")
    found = {
        (panel.ids[series], dates.get_loc(time)): value
        for series, time, value, seen in zip(panel.row_series, times, panel.values, panel.observed, strict=True)
        if seen
    }
    assert found == given_rows
