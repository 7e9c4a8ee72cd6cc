"""Reading tables: the same series from every kind of table, what is inferred and said, gaps and missing values."""

import gzip
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gatework.data import Schema, read, synthesise
from gatework.errors import ArtefactError
from gatework.run import Run, write_frame
from gatework.say import quiet, recording

DAYS = pd.date_range("2024-01-01", periods=6, freq="D")
PLAIN = pd.DataFrame({"unique_id": ["a"] * 3 + ["b"] * 3, "ds": [*DAYS[:3], *DAYS[:3]], "y": [1.0, 2, 3, 4, 5, 6]})


def told(data, **arguments):
    with recording() as lines, quiet():
        panel = read(data, **arguments)
    return panel, lines


def as_path(ending: str):
    def make(folder):
        write_frame(folder / f"data.{ending}", PLAIN)
        return folder / f"data.{ending}"

    return make


def with_text(name: str, text: str):
    def make(folder):
        (folder / name).write_text(text, encoding="utf-8")
        return str(folder / name)

    return make


SEMICOLONS = PLAIN.to_csv(index=False, sep=";")
SAME = {
    "pandas": lambda folder: PLAIN,
    "pandas, index of dates": lambda folder: PLAIN.set_index("ds"),
    "pandas, two indices": lambda folder: PLAIN.set_index(["unique_id", "ds"]),
    "pandas, categories": lambda folder: PLAIN.astype({"unique_id": "category"}),
    "pandas, arrow types": lambda folder: PLAIN.convert_dtypes(dtype_backend="pyarrow"),
    "pandas, nullable": lambda folder: PLAIN.convert_dtypes(),
    "pandas, other order": lambda folder: PLAIN.sample(frac=1, random_state=0)[["y", "unique_id", "ds"]],
    "pandas, numbers as texts": lambda folder: PLAIN.assign(y=PLAIN["y"].astype(str)),
    "pandas, dates as texts": lambda folder: PLAIN.assign(ds=PLAIN["ds"].dt.strftime("%d.%m.%Y")),
    "polars": lambda folder: pl.DataFrame(PLAIN.to_dict("list")),
    "polars, lazy": lambda folder: pl.LazyFrame(PLAIN.to_dict("list")),
    "polars, dates": lambda folder: pl.DataFrame(PLAIN.to_dict("list")).with_columns(pl.col("ds").cast(pl.Date)),
    "arrow": lambda folder: pa.Table.from_pandas(PLAIN, preserve_index=False),
    **{ending: as_path(ending) for ending in ("csv", "csv.gz", "tsv", "jsonl", "jsonl.gz", "parquet")},
    "semicolons": with_text("data.csv", SEMICOLONS),
    "byte-order mark": with_text("data.csv", "\ufeff" + PLAIN.to_csv(index=False)),
    "txt, spaces, quotes": with_text("data.txt", PLAIN.to_csv(index=False, quoting=1).replace(",", ", ")),
    "carriage returns": with_text("data.csv", PLAIN.to_csv(index=False, lineterminator="\r\n")),
}


@pytest.mark.parametrize("case", SAME)
def test_every_kind_of_table_gives_the_same_series(tmp_path, case):
    panel, _ = told(SAME[case](tmp_path))
    reference, _ = told(PLAIN)
    order = np.argsort(panel.ids)  # rows in another order name the series in another order
    assert [panel.ids[i] for i in order] == ["a", "b"]
    for i, j in enumerate(order):
        assert panel.series(j)[0].tolist() == reference.series(i)[0].tolist()
        assert panel.series(j)[1].all()
    assert panel.starts.tolist() == reference.starts.tolist()
    assert str(panel.schema.frequency) == "D"


def test_the_same_data_have_the_same_hash(tmp_path):
    hashes = {told(SAME[case](tmp_path))[0].data_hash() for case in ("pandas", "polars", "arrow", "jsonl", "parquet")}
    assert len(hashes) == 1
    assert told(PLAIN.assign(y=PLAIN["y"] + 1e-9))[0].data_hash() not in hashes


def test_everything_inferred_is_said():
    _, lines = told(PLAIN)
    assert lines == [
        "time: column 'ds' (by its name)",
        "series: column 'unique_id', 2 of them",
        "target: column 'y' (by its name)",
        "data: 2 series of 3 rows",
        "frequency: D (inferred)",
        "season: 7 rows (from the frequency)",
    ]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (PLAIN.rename(columns={"unique_id": "shop", "y": "sales"}), ("shop", "ds", ("sales",))),
        (PLAIN.rename(columns={"unique_id": "store", "ds": "Date", "y": "Value"}), ("store", "Date", ("Value",))),
        (PLAIN.assign(unique_id=[1, 1, 1, 2, 2, 2]).rename(columns={"unique_id": "k"}), ("k", "ds", ("y",))),
        (PLAIN[:3].drop(columns="unique_id"), (None, "ds", ("y",))),
        (PLAIN[:3].assign(label=["x", "y", "z"])[["label", "ds", "y"]], (None, "ds", ("y",))),
        (PLAIN[:3].assign(id=[7, 8, 9])[["id", "ds", "y"]], (None, "ds", ("y",))),
        (PLAIN[:3][["y"]], (None, None, ("y",))),
        (pd.DataFrame({"year": [1950, 1951, 1952], "cost": [1.0, 2, 4]}), (None, "year", ("cost",))),
        (pd.DataFrame({"month": [1, 2, 3], "y": [1.0, 2, 4]}), (None, None, ("y",))),
        (
            pd.DataFrame({"start of shift": ["2024-01-01", "2024-01-02"], "n": [1.0, 2]}),
            (None, "start of shift", ("n",)),
        ),
    ],
)
def test_roles_that_are_inferred(data, expected):
    schema = told(data)[0].schema
    assert (schema.id_column, schema.time_column, schema.targets) == expected


def test_series_arrays_and_columns():
    for data in (pd.Series([1.0, 2, 4]), np.array([1.0, 2, 4]), pl.Series("y", [1.0, 2, 4])):
        panel, lines = told(data)
        assert panel.values.tolist() == [1, 2, 4]
        assert "time: no column of dates; the order of the rows counts as time" in lines
    panel, _ = told(pd.Series([1.0, 2, 4], index=DAYS[:3], name="load"))
    assert panel.ids == ["load"]
    assert str(panel.schema.frequency) == "D"
    panel, _ = told(pd.Series([1.0, 2, 4], index=pd.period_range("2024-01", periods=3, freq="M")))
    assert str(panel.schema.frequency) == "MS"


def test_several_targets_are_as_many_series():
    wide = pd.DataFrame({"ds": DAYS, "north": range(6), "south": range(10, 16)})
    panel, _ = told(wide, target=["south", "north"])
    assert panel.ids == ["south", "north"]
    assert panel.series(1)[0].tolist() == [0, 1, 2, 3, 4, 5]
    long = pd.concat([wide.assign(site="p"), wide.assign(site="q")])
    panel, _ = told(long, target=["north", "south"], id_column="site")
    assert panel.ids == ["p/north", "p/south", "q/north", "q/south"]


def test_columns_named_by_numbers():
    panel, _ = told(pd.DataFrame({0: [1.0, 2, 3], 1: [4.0, 5, 6]}), target=[0, 1])
    assert panel.ids == ["0", "1"]


def test_a_header_with_separators_in_quotes(tmp_path):
    (tmp_path / "data.csv").write_text('"day, local","load, total","load, peak"\n2024-01-01,1,2\n2024-01-02,3,4\n')
    panel, _ = told(tmp_path / "data.csv", target="load, total")
    assert panel.values.tolist() == [1, 3]
    assert panel.schema.time_column == "day, local"


def test_no_header(tmp_path):
    (tmp_path / "rates.txt").write_text("0.5, 1.5\n0.6, 1.4\n0.7, 1.6\n")
    panel, lines = told(tmp_path / "rates.txt", target="column2")
    assert "rates.txt has no header line; its columns are called column1 to column2" in lines
    assert panel.values.tolist() == [1.5, 1.4, 1.6]
    (tmp_path / "dated.csv").write_text("2024-01-01,5\n2024-01-02,6\n")
    panel, _ = told(tmp_path / "dated.csv")
    assert panel.values.tolist() == [5, 6]


def test_gaps_are_inserted_and_missing_values_masked():
    frame = pd.DataFrame({"ds": DAYS[[0, 1, 3, 4, 5]], "y": [np.nan, 1, np.nan, 4, 5]})
    panel, lines = told(frame)
    assert panel.values.tolist() == [1, 1, 1, 4, 5]  # only ever filled from the past
    assert panel.observed.tolist() == [True, False, False, True, True]
    assert "left out 1 row before the first value of the series" in lines
    assert "gaps: 1 missing timestamp in 1 place, inserted without a value" in lines
    assert "missing values: 1 of 4 targets; filled forward as input, not scored" in lines


def test_gaps_of_one_series_do_not_leak_into_another():
    frame = pd.DataFrame(
        {"unique_id": list("aabb"), "ds": [DAYS[0], DAYS[2], DAYS[3], DAYS[5]], "y": [1, 2, 30, 40],
         "p": [np.nan, 0.2, np.nan, 0.4]}
    )  # fmt: skip
    panel, lines = told(frame, past_covariates=["p"], freq="D")
    assert panel.values.tolist() == [1, 1, 2, 30, 30, 40]
    np.testing.assert_array_equal(panel.past[:, 0], np.float32([np.nan, np.nan, 0.2, np.nan, np.nan, 0.4]))
    assert "missing covariates, filled forward: p (4)" in lines


def test_rows_after_the_last_target_are_the_future():
    frame = pd.DataFrame({"ds": DAYS, "y": [1, 2, 3, np.nan, np.nan, np.nan], "price": [1.0, 2, 3, 4, 5, 6]})
    panel, lines = told(frame, future_covariates=["price"])
    assert panel.lengths.tolist() == [3]
    assert panel.future[:, 0].tolist() == [1, 2, 3, 4, 5, 6]
    assert "3 rows after the last target of the series: they give the future covariates" in lines
    extended = panel.extend(2)
    assert extended.future[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert np.isnan(extended.values[3:]).all()


def test_a_constant_series_works_and_is_said():
    panel, lines = told(PLAIN.assign(y=[5, 5, 5, 1, 2, 3]))
    assert "1 series never change: a" in lines
    assert panel.values[:3].tolist() == [5, 5, 5]


def test_unsorted_rows_are_sorted_and_said():
    panel, lines = told(PLAIN.iloc[[2, 0, 1, 3, 4, 5]])
    assert "rows were not in order of time in 1 of 2 series; sorted" in lines
    assert panel.values.tolist() == [1, 2, 3, 4, 5, 6]


def test_categories_become_a_feature_for_each_level():
    frame = PLAIN.assign(kind=["x", "x", "x", "y", "y", "y"], sky=["sun", "rain", None, "sun", "sun", "rain"])
    panel, lines = told(frame, static_covariates=["kind"], past_covariates=["sky"])
    assert panel.schema.static_names == ["kind=x", "kind=y"]
    assert panel.static.tolist() == [[1, 0], [0, 1]]
    assert panel.past.tolist() == [[0, 1], [1, 0], [1, 0], [0, 1], [0, 1], [1, 0]]  # the missing one repeats rain
    assert "covariate 'sky' is categorical, with 2 levels: rain, sun" in lines


def test_true_and_false_are_numbers():
    panel, _ = told(PLAIN.assign(open=[True, False] * 3), future_covariates=["open"])
    assert panel.future[:, 0].tolist() == [1, 0] * 3


def test_the_zone_is_kept_and_said():
    hours = pd.date_range("2024-10-26", periods=48, freq="h", tz="Europe/Berlin")
    panel, lines = told(pd.DataFrame({"ds": hours, "y": range(48)}))
    assert "frequency: h (inferred), times in Europe/Berlin" in lines
    assert panel.lengths.tolist() == [48]
    assert panel.observed.all()


def test_season_is_found_where_there_are_no_dates():
    time = np.arange(240)
    random = np.random.default_rng(0)
    seasonal = np.sin(2 * np.pi * time / 12) + 0.05 * time + 0.1 * random.normal(size=240)
    panel, lines = told(seasonal)
    assert panel.schema.season == 12
    assert any("season: 12 rows (found in the values" in line for line in lines)
    walk, lines = told(random.normal(size=240).cumsum())
    assert walk.schema.season == 1
    assert "season: none (none stands out in the values)" in lines
    assert told(seasonal, season=24)[0].schema.season == 24


def test_the_schema_survives_json(tmp_path):
    frame = synthesise(series=3, length=40)
    panel, _ = told(frame, past_covariates=["visitors"], future_covariates=["promotion"], static_covariates=["kind"])
    run = Run.create("forecaster", tmp_path)
    run.write_json("model/schema.json", panel.schema.to_json())
    schema = Schema.from_json(run.read_json("model/schema.json"))
    assert schema == panel.schema
    with quiet():
        assert schema.read(frame).data_hash() == panel.data_hash()


def test_a_damaged_schema_is_refused():
    good = told(PLAIN)[0].schema.to_json()
    assert Schema.from_json(json.loads(json.dumps(good))).ids == ("a", "b")
    damages = [
        None,
        {**good, "extra": 1},
        {key: value for key, value in good.items() if key != "season"},
        {**good, "season": "7"},
        {**good, "season": 0},
        {**good, "targets": []},
        {**good, "targets": [1]},
        {**good, "ids": "ab"},
        {**good, "calendar": ["moon"]},
        {**good, "past": [{"name": "p"}]},
        {**good, "past": [{"name": "p", "levels": [1]}]},
        {**good, "frequency": {"unit": "month"}},
    ]
    for damaged in damages:
        with pytest.raises(ArtefactError, match="damaged"):
            Schema.from_json(damaged)


def test_the_synthetic_table_is_valid_and_the_same_each_time(tmp_path):
    write_frame(tmp_path / "shops.csv", synthesise(seed=1))
    panel, _ = told(
        tmp_path / "shops.csv",
        past_covariates=["visitors"],
        future_covariates=["promotion"],
        static_covariates=["kind"],
    )
    assert (len(panel), panel.schema.season) == (4, 7)
    assert 0.97 < panel.observed.mean() < 1
    assert synthesise(seed=1).equals(synthesise(seed=1))
    assert not synthesise(seed=1).equals(synthesise(seed=2))


def test_files_packed_twice_or_named_in_capitals(tmp_path):
    (tmp_path / "DATA.CSV").write_text(PLAIN.to_csv(index=False))
    (tmp_path / "DATA.CSV.GZ").write_bytes(gzip.compress(PLAIN.to_csv(index=False).encode()))
    assert told(tmp_path / "DATA.CSV")[0].data_hash() == told(tmp_path / "DATA.CSV.GZ")[0].data_hash()
