"""Data that cannot be used: each message names what came, what was expected and how to mend it.

A case is what is handed to `read` (made from a temporary folder), its arguments, and the parts that the message must
have: first what came (a file, column, row or value), then what was expected, then how to mend it.
"""

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pytest

from gatework.data import read
from gatework.errors import InputError
from gatework.say import quiet

DAYS = pd.date_range("2024-01-01", periods=6, freq="D")


def csv(text: str, name: str = "data.csv"):
    def make(folder):
        (folder / name).write_text(text)
        return folder / name

    return make


def raw(data: bytes, name: str = "data.csv"):
    def make(folder):
        (folder / name).write_bytes(data)
        return folder / name

    return make


def frame(**columns):
    return lambda folder: pd.DataFrame(columns)


def days(**columns):
    return frame(ds=DAYS, **columns)


def value(thing):
    return lambda folder: thing


LINES = "".join(f"2024-01-0{i},{i}\n" for i in range(1, 7))

# name: (make the data, arguments of read, what came, what was expected, how to mend it)
CASES = {
    # files
    "missing file": (lambda f: f / "sales.csv", {}, "there is no file", "Expected the path", "data file"),
    "missing file, near name": (
        lambda f: ((f / "sales.csv").write_text("x"), f / "sale.csv")[1],
        {},
        "sale.csv",
        "Expected the path",
        "Did you mean 'sales.csv'?",
    ),
    "a folder": (lambda f: f, {}, "is a folder", "Expected one file", ".parquet"),
    "empty file": (raw(b""), {}, "is empty (0 bytes)", "Expected a header line and rows", "check how it was written"),
    "blank lines": (raw(b"\n\n \n"), {}, "blank lines only", "Expected a header line", "check how"),
    "header only": (csv("ds,y\n"), {}, "the columns 'ds', 'y' but no rows", "Expected at least two rows", "add data"),
    "Latin-1": (
        raw(b"ds,y,ort\n2024-01-01,1,Bern\n2024-01-02,2,Z\xfcrich\n"),
        {},
        "line 3 holds the byte 0xfc",
        "Zürich",
        "Save the file as UTF-8",
    ),
    "Latin-1, packed": (
        raw(gzip.compress(b"ds,y,ort\n2024-01-01,1,Z\xfcrich\n", mtime=0), "data.csv.gz"),
        {},
        "line 2 holds the byte 0xfc",
        "is not UTF-8",
        "Save the file as UTF-8",
    ),
    "UTF-16": (raw("ds,y\n2024-01-01,1\n".encode("utf-16")), {}, "looks like UTF-16", "not UTF-8", "Save it as UTF-8"),
    "a spreadsheet": (
        raw(b"PK\x03\x04", "data.xlsx"),
        {},
        "ending '.xlsx'",
        "Expected .csv",
        "save it as one of these",
    ),
    "no ending": (raw(b"ds,y\n", "data"), {}, "ending 'none'", "Expected .csv", "save it"),
    "gzip cut short": (
        raw(gzip.compress(LINES.encode() * 500, mtime=0)[:-20], "data.csv.gz"),
        {},
        "not a whole gzip file",
        "cut short",
        "get it again",
    ),
    "not gzip": (raw(b"ds,y\n", "data.csv.gz"), {}, "not a whole gzip file", "is not packed", "get it again"),
    "a line too long": (
        csv("ds,y\n2024-01-01,1\n2024-01-02,2,3\n"),
        {},
        "not a regular table",
        "Expected the same number of fields",
        "mend that line",
    ),
    "one endless line": (
        csv("x" * 200_000),
        {},
        "the first line of",
        "Expected the names of the columns",
        "check how it was written",
    ),
    "a column twice": (csv("ds,y,y\n2024-01-01,1,2\n"), {}, "'y' more than once", "Expected distinct names", "rename"),
    "broken JSON lines": (
        raw(b'{"ds": "2024-01-01", "y": 1}\n{"ds": \n', "data.jsonl"),
        {},
        "line 2 of",
        "Expected one object a line",
        '{"ds": ..., "y": ...}',
    ),
    "not Parquet": (raw(b"ds,y\n", "data.parquet"), {}, "not a Parquet file", "can be read", "write it again"),
    # things that are no table
    "a dict": (value({"y": [1]}), {}, "builtins.dict", "Expected a pandas, polars or arrow frame", "path"),
    "None": (value(None), {}, "NoneType", "Expected a pandas", "path"),
    "a number": (value(3.5), {}, "builtins.float", "Expected a pandas", "path"),
    "a matrix": (value(np.zeros((3, 4))), {}, "of shape (3, 4)", "one-dimensional array", "path"),
    "a frame without columns": (frame(), {}, "no columns", "Expected at least two rows", "add data"),
    "a frame without rows": (frame(ds=DAYS[:0], y=[]), {}, "no rows", "Expected at least two rows", "add data"),
    "an index named as a column": (
        lambda f: pd.DataFrame({"ds": [1.0, 2.0]}, index=DAYS[:2].rename("ds")),
        {},
        "index of the frame",
        "the name of a column, 'ds'",
        "Rename one",
    ),
    # columns
    "unknown target": (
        days(load=range(6)),
        {"target": "laod"},
        "no column 'laod'",
        "Its columns are",
        "Did you mean 'load'?",
    ),
    "unknown id": (
        days(y=range(6)),
        {"id_column": "shop"},
        "no column 'shop'",
        "Its columns are 'ds', 'y'",
        "name one",
    ),
    "unknown time": (days(y=range(6)), {"time_column": "dss"}, "no column 'dss'", "Its columns", "Did you mean 'ds'?"),
    "unknown covariate": (
        days(y=range(6), price=range(6)),
        {"future_covariates": ["prices"]},
        "no column 'prices'",
        "Its columns",
        "Did you mean 'price'?",
    ),
    "covariates as a text": (
        days(y=range(6), price=range(6)),
        {"past_covariates": "price"},
        "past_covariates='price' is a text",
        "Expected a list",
        "['price']",
    ),
    "two roles": (
        days(y=range(6), price=range(6)),
        {"past_covariates": ["price"], "future_covariates": ["price"]},
        "'price' is given two roles",
        "Expected each column once",
        "leave it out of one",
    ),
    "no numeric column": (
        days(label=list("abcdef")),
        {},
        "no numeric column to forecast",
        "Expected one of numbers",
        "add it, or mend the texts",
    ),
    "several numeric columns": (
        days(high=range(6), low=range(6)),
        {},
        "2 numeric columns: 'high', 'low'",
        "Expected to be told",
        "target='low'",
    ),
    "two columns of dates": (
        frame(opened=DAYS, closed=DAYS, amount=range(6)),
        {},
        "several columns of dates: 'opened', 'closed'",
        "Expected to be told",
        "time_column=",
    ),
    "two columns could be the id": (
        frame(ds=[*DAYS[:3], *DAYS[:3]], y=range(6), shop=list("aaabbb"), town=list("xxxyyy")),
        {},
        "'shop', 'town' could each tell",
        "Expected to be told",
        "id_column=",
    ),
    # times
    "duplicate timestamps": (
        frame(ds=[*DAYS[:3], DAYS[1]], y=range(4)),
        {},
        "2024-01-02 stands in rows 2, 4",
        "Expected one row per series and time",
        "average or drop the repeats",
    ),
    "duplicate timestamps, values that repeat": (
        frame(ds=np.repeat(DAYS, 2), count=[1, 2] * 6),
        {},
        "2024-01-01 stands in rows 1, 2",
        "Expected one row per series and time",
        "id_column=",
    ),
    "duplicate timestamps in a series": (
        frame(unique_id=list("aabb"), ds=[DAYS[0], DAYS[0], DAYS[0], DAYS[1]], y=range(4)),
        {},
        "a at 2024-01-01 stands in rows 1, 2",
        "Expected one row per series",
        "drop the repeats",
    ),
    "a missing date": (
        frame(ds=[DAYS[0], None, DAYS[2]], y=range(3)),
        {},
        "'ds' has no time in row 2",
        "Expected a time in every row",
        "add or drop",
    ),
    "a date that does not exist": (
        csv("ds,y\n2024-01-30,1\n2024-02-30,2\n2024-03-30,3\n"),
        {},
        "'2024-02-30' in row 2",
        "Expected one way of writing dates",
        "mend these rows",
    ),
    "mixed ways of writing dates": (
        csv("ds,y\n2024-01-01,1\n01/02/2024,2\n2024-01-03,3\n04.01.2024,4\n"),
        {},
        "'01/02/2024' in rows 2, 4",
        "Expected one way",
        "mend these rows",
    ),
    "numbers among dates": (
        frame(ds=pd.Series(["2024-01-01", 3, "2024-01-03"], dtype=object), y=range(3)),
        {},
        "'ds' holds 3 in row 2",
        "Expected one way of writing dates",
        "mend these rows",
    ),
    "zones in some rows only": (
        frame(ds=pd.Series([DAYS[0], DAYS[1].tz_localize("UTC"), DAYS[2]], dtype=object), y=range(3)),
        {},
        "'ds' has no time zone in rows 1, 3",
        "Expected all with a zone or none",
        "convert these",
    ),
    "texts as dates": (
        csv("ds,y\nmonday,1\ntuesday,2\n"),
        {},
        "'monday' in row 1",
        "Expected dates such as 2024-01-31",
        "time_column=",
    ),
    "fractions as time": (
        frame(t=[1949.0, 1949.083, 1949.167], y=range(3)),
        {"time_column": "t"},
        "1949.083 in rows 2, 3",
        "Expected dates or whole numbers",
        "time_column=",
    ),
    "a time off the step": (
        frame(ds=[*pd.date_range("2024-01-01", periods=20, freq="h"), pd.Timestamp("2024-01-01 20:13")], y=range(21)),
        {},
        "2024-01-01 20:13:00 (row 21)",
        "expected h (the usual one",
        "resample",
    ),
    "a stray half hour": (
        frame(ds=[*pd.date_range("2024-01-01", periods=20, freq="h"), pd.Timestamp("2024-01-01 04:30")], y=range(21)),
        {},
        "2024-01-01 04:30:00 (row 21)",
        "expected h",
        "freq=",
    ),
    "one row": (frame(ds=DAYS[:1], y=[1.0]), {}, "one row only", "Expected at least two rows", "pass freq="),
    "a mistyped year": (
        frame(ds=[*DAYS, pd.Timestamp("2924-01-07")], y=range(7)),
        {},
        "2924-01-07 (row 7)",
        "Expected few gaps",
        "is a date mistyped?",
    ),
    "unknown frequency": (
        days(y=range(6)),
        {"freq": "fortnight"},
        "freq='fortnight'",
        "Expected a pandas alias",
        "'D'",
    ),
    "frequency without a step": (days(y=range(6)), {"freq": "SME"}, "freq='SME'", "no regular step", "use one such as"),
    "another frequency given": (
        days(y=range(6)),
        {"freq": "MS"},
        "5 rows off the frequency MS",
        "2024-01-02 (row 2)",
        "another freq=",
    ),
    "another weekday given": (
        frame(ds=pd.date_range("2024-01-01", periods=5, freq="W-MON"), y=range(5)),
        {"freq": "W-SUN"},
        "off the frequency W-SUN",
        "2024-01-01",
        "another freq=",
    ),
    "a step for dates on integers": (
        frame(t=range(6), y=range(6)),
        {"freq": "D", "time_column": "t"},
        "freq='D' does not go with column 't'",
        "whole numbers",
        "Leave freq= out",
    ),
    "several rows in a step": (
        frame(ds=pd.to_datetime(["2024-01-01 10:00", "2024-01-01 18:00"]), y=[1, 2]),
        {"freq": "D"},
        "1 row off the frequency D",
        "18:00",
        "another freq=",
    ),
    # values
    "text in the target": (
        csv("ds,y\n2024-01-01,1\n2024-01-02,many\n2024-01-03,3\n"),
        {},
        "'y' holds the text 'many' in row 2",
        "Expected numbers",
        "correct these fields",
    ),
    "thousands marks": (
        csv('ds,y\n2024-01-01,"1,200"\n2024-01-02,"1,300"\n'),
        {},
        "'1,200' in rows 1, 2",
        "Expected numbers",
        "no thousands mark: 1234.5",
    ),
    "infinity": (
        days(y=[1, 2, np.inf, 4, 5, 6]),
        {},
        "'y' holds inf in row 3",
        "Expected finite numbers",
        "leave these",
    ),
    "a number that no float32 holds": (
        days(y=[1, 2, 3, 4, -1e30, 6]),
        {},
        "'y' holds -1e+30 in row 5",
        "Expected numbers up to 1e+18",
        "a larger unit",
    ),
    "all missing": (
        days(y=[np.nan] * 6),
        {},
        "target y has no value in any of 6 rows",
        "Expected numbers",
        "target=...",
    ),
    "dates as target": (
        frame(ds=DAYS, when=DAYS),
        {"target": "when", "time_column": "ds"},
        "'when' holds Datetime",
        "Expected numbers",
        "name another column",
    ),
    "an empty covariate": (
        days(y=range(6), price=[np.nan] * 6),
        {"past_covariates": ["price"]},
        "'price' has no value in any row",
        "Expected numbers or categories",
        "leave it out",
    ),
    "infinity in a covariate": (
        days(y=range(6), price=[1, 2, -np.inf, 4, 5, 6]),
        {"future_covariates": ["price"]},
        "'price' holds -inf in row 3",
        "Expected finite numbers",
        "leave these fields empty",
    ),
    "an id as covariate": (
        frame(ds=pd.date_range("2024-01-01", periods=80), y=range(80), code=[f"c{i}" for i in range(80)]),
        {"past_covariates": ["code"]},
        "'code' holds 80 different texts",
        "at most 64 categories",
        "group them, or leave the column out",
    ),
    "dates as covariate": (
        frame(ds=DAYS, y=range(6), due=DAYS),
        {"time_column": "ds", "past_covariates": ["due"]},
        "'due' holds Datetime",
        "Expected numbers or texts",
        "convert the column",
    ),
    "a static covariate that changes": (
        frame(unique_id=list("aaabbb"), ds=[*DAYS[:3], *DAYS[:3]], y=range(6), size=[1, 1, 1, 2, 2, 3]),
        {"static_covariates": ["size"]},
        "size changes within 1 series, first in 'b' (from 2 to 3)",
        "Expected one value per series",
        "as a past or future covariate",
    ),
    "a static category that changes": (
        frame(unique_id=list("aaabbb"), ds=[*DAYS[:3], *DAYS[:3]], y=range(6), kind=list("xxxxxy")),
        {"static_covariates": ["kind"]},
        "kind=x changes within 1 series, first in 'b'",
        "Expected one value per series",
        "correct it",
    ),
    "a row without a series": (
        frame(unique_id=["a", None, "a"], ds=DAYS[:3], y=range(3)),
        {},
        "'unique_id' names no series in row 2",
        "Expected a name in every row",
        "fill or drop",
    ),
    "season zero": (days(y=range(6)), {"season": 0}, "season=0", "Expected a whole number", "1 (none) or more"),
    "season as a fraction": (days(y=range(6)), {"season": 2.5}, "season=2.5", "Expected a whole number", "1 (none)"),
    "polars without numbers": (
        value(pl.DataFrame({"ds": DAYS.to_numpy(), "y": ["a"] * 6})),
        {},
        "'y' holds the text 'a' in rows 1, 2, 3, 4, 5 and 1 more",
        "Expected numbers",
        "correct these fields",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_came_what_was_expected_how_to_mend_it(tmp_path, case):
    make, arguments, came, expected, mend = CASES[case]
    data = make(tmp_path)
    with quiet(), pytest.raises(InputError) as caught:
        read(data, **arguments)
    message = str(caught.value)
    for part in (came, expected, mend):
        assert part in message
    assert "\n" not in message


def test_there_are_enough_cases():
    assert len(CASES) >= 45


@pytest.mark.skipif("os.geteuid() == 0", reason="needs a user whom permissions bind")
def test_a_forbidden_file(tmp_path):
    path = csv("ds,y\n")(tmp_path)
    path.chmod(0)
    with pytest.raises(InputError, match=r"may not be read.*change its permissions"):
        read(path)
