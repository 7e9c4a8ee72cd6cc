"""What a user can do wrong with a task: a clear error, and no run folder left half made."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gatework.data import synthesise
from gatework.errors import ArtefactError, CellError, ConfigError, GateworkError, InputError, StorageError
from gatework.tasks import load, resume
from tests.tasks.small import seasonal, small

Change = Callable[[pd.DataFrame], Any]


def at(row: int, column: str, value: Any) -> Change:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object}) if isinstance(value, str) else table
        table.loc[row, column] = value
        return table

    return change


FIT: list[tuple[str, Change, dict[str, Any], type[GateworkError], str]] = [
    ("no such file", lambda t: "none.csv", {}, InputError, "none.csv"),
    ("empty frame", lambda t: t.iloc[:0], {}, InputError, "row"),
    ("not a table", lambda t: 3.5, {}, InputError, "float"),
    ("no numbers", lambda t: t.assign(y="a"), {}, InputError, "y"),
    ("text in the target", at(5, "y", "lots"), {}, InputError, "lots"),
    ("infinite", at(5, "y", np.inf), {}, InputError, "inf"),
    ("all missing", lambda t: t.assign(y=np.nan), {"target": "y"}, InputError, "no value"),
    ("same time twice", lambda t: pd.concat([t, t.iloc[[3]]]), {}, InputError, "repeat a time .* rows 4, 271"),
    ("dates not read", at(4, "ds", "someday"), {}, InputError, "someday"),
    ("target unknown", lambda t: t, {"target": "yy"}, InputError, "'yy'.*mean 'y'"),
    ("time column unknown", lambda t: t, {"time_column": "dss"}, InputError, "'dss'.*mean 'ds'"),
    ("id column unknown", lambda t: t, {"id_column": "unique"}, InputError, "'unique'"),
    ("past covariate unknown", lambda t: t, {"past_covariates": ["visitor"]}, InputError, "'visitor'"),
    ("future covariate unknown", lambda t: t, {"future_covariates": ["promo"]}, InputError, "'promo'"),
    (
        "static covariate that changes",
        lambda t: t.assign(k=range(len(t))),
        {"static_covariates": ["k"]},
        InputError,
        "changes",
    ),
    (
        "series too short",
        lambda t: t.groupby("unique_id").head(10),
        {},
        InputError,
        r"context 14 \+ horizon 6 is more than the 10 rows",
    ),
    (
        "one series short",
        lambda t: t[(t.unique_id != "s1") | (t.index % 10 == 0)],
        {"freq": "D", "context": 85},
        InputError,
        "context 85",
    ),
    ("horizon longer than the data", lambda t: t, {"horizon": 500}, InputError, "smaller horizon"),
    ("context longer than the data", lambda t: t, {"context": 500}, InputError, "the 90 rows of the longest"),
    ("horizon 0", lambda t: t, {"horizon": 0}, ConfigError, "horizon is 0"),
    ("horizon negative", lambda t: t, {"horizon": -6}, ConfigError, "horizon is -6"),
    ("horizon text", lambda t: t, {"horizon": "a week"}, ConfigError, "horizon is 'a week'"),
    ("cell unknown", lambda t: t, {"cell": "lsmt"}, CellError, "'lsmt'.*mean 'lstm'"),
    ("frequency unknown", lambda t: t, {"freq": "fortnightly"}, InputError, "fortnightly"),
    ("frequency wrong", lambda t: t, {"freq": "W"}, InputError, "W"),
    ("level out of range", lambda t: t, {"quantiles": [0.1, 1.0]}, ConfigError, "quantiles is"),
    ("preset unknown", lambda t: t, {"preset": "goood"}, ConfigError, "'good'"),
    ("runs folder is a file", lambda t: t, {"runs": __file__}, StorageError, "test_bad_input"),
]


@pytest.mark.parametrize(
    ("change", "settings", "kind", "message"), [case[1:] for case in FIT], ids=[case[0] for case in FIT]
)
def test_fit_refuses(tmp_path: Path, change: Change, settings: dict[str, Any], kind: type[GateworkError], message: str):
    with pytest.raises(kind, match=message):
        small(tmp_path / "runs", **settings).fit(change(seasonal()))
    assert not (tmp_path / "runs").exists(), "a run folder was made for data that cannot be used"


@pytest.mark.usefixtures("painted")
def test_short_series_can_be_left_out(tmp_path: Path):
    table = seasonal()
    table = table[(table["unique_id"] != "s1") | (table["ds"] < "2024-01-07")]
    model = small(tmp_path, drop_short=True, max_epochs=1).fit(table)
    assert any("left out 1 of 3 series" in line and "s1 (6)" in line for line in model.run_.facts["decisions"])


@pytest.mark.usefixtures("painted")
def test_constant_series_is_trained_on_and_forecast(tmp_path: Path):
    table = seasonal()
    table.loc[table["unique_id"] == "s0", "y"] = 5.0
    forecast = small(tmp_path).fit(table).predict(table)
    assert np.isfinite(forecast["y_hat"]).all()
    assert np.allclose(forecast["y_hat"][:6], 5.0, atol=2.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory):
    table = synthesise(series=2, length=60)
    settings = {"past_covariates": ["visitors"], "static_covariates": ["kind"], "max_epochs": 1}
    return small(tmp_path_factory.mktemp("runs"), **settings).fit(table)


PREDICT: list[tuple[str, Change, str]] = [
    ("column missing", lambda t: t.drop(columns="visitors"), "lacks 1 of the columns .*'visitors'"),
    ("column renamed", lambda t: t.rename(columns={"y": "Y"}), "'y'"),
    ("integer time", lambda t: t.assign(ds=range(len(t))), "whole numbers as time"),
    ("another frequency", lambda t: t[t["ds"].dt.day % 2 == 1].reset_index(drop=True).assign(
        ds=lambda f: f["ds"] + pd.to_timedelta(f.index % 3, unit="h")), "frequency"),
    ("text in the target", at(3, "y", "many"), "many"),
    ("empty", lambda t: t.iloc[:0], "row"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in PREDICT], ids=[case[0] for case in PREDICT])
def test_predict_refuses(model, change: Change, message: str):
    with pytest.raises(InputError, match=message):
        model.predict(change(synthesise(series=2, length=60)))


def test_columns_in_another_order_are_the_same(model):
    table = synthesise(series=2, length=60)
    shuffled = table[sorted(table.columns, reverse=True)]
    assert np.array_equal(model.predict(table)["y_hat"], model.predict(shuffled)["y_hat"])


@pytest.mark.parametrize("name", ["windows", "step"])
@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3"])
def test_evaluate_refuses(model, name: str, value: object):
    with pytest.raises(InputError, match=f"{name} is {value!r}; expected a whole number"):
        model.evaluate(synthesise(series=2, length=60), **{name: value})


def test_evaluate_needs_enough_rows(model):
    with pytest.raises(InputError, match="horizon 6"):
        model.evaluate(synthesise(series=2, length=60).groupby("unique_id").head(5))


TAMPERED: list[tuple[str, str, Callable[[bytes], bytes], str]] = [
    ("weights cut", "model/weights.safetensors", lambda b: b[:100], "weights.safetensors"),
    ("weights of another shape", "config.yaml", lambda b: b.replace(b"hidden_size: 8", b"hidden_size: 9"),
    "weights.safetensors"),
    ("horizon changed", "config.yaml", lambda b: b.replace(b"horizon: 6", b"horizon: 7"), "model.json|weights"),
    ("setting unknown", "config.yaml", lambda b: b + b"\nhorizons: 3\n", "horizons"),
    ("not YAML", "config.yaml", lambda b: b"a: [", "line 1"),
    ("model no JSON", "model/model.json", lambda b: b[:-20], "model.json"),
    ("model of another task", "model/model.json", lambda b: b.replace(b'"forecaster"', b'"painter"'),
    "not a model of forecaster"),
    ("members a text", "model/model.json", lambda b: b.replace(b'"members": 1', b'"members": "1"'), "not a model"),
    ("a billion members", "model/model.json", lambda b: b.replace(b'"members": 1', b'"members": 1000000000'),
    "not a model"),
    ("schema gone", "model/model.json", lambda b: b.replace(b'"schema"', b'"scheme"'), "describe a model"),
    ("widths changed", "model/model.json", lambda b: b.replace(b'"static": 2', b'"static": 5'), "weights|describe"),
    ("task unknown", "run.json", lambda b: b.replace(b'"task": "forecaster"', b'"task": "../evil"'), "does not have"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "change", "message"), [case[1:] for case in TAMPERED], ids=[case[0] for case in TAMPERED]
)
def test_a_tampered_run_is_refused(model, tmp_path: Path, file: str, change: Callable[[bytes], bytes], message: str):
    import shutil

    copy = tmp_path / "forecaster-001"
    shutil.copytree(model.run_.path, copy)
    before = (copy / file).read_bytes()
    (copy / file).write_bytes(change(before))
    assert (copy / file).read_bytes() != before
    with pytest.raises((ArtefactError, ConfigError), match=message):
        load(copy)


def test_resume_of_a_frame_needs_the_frame(model, tmp_path: Path):
    import shutil

    copy = tmp_path / "forecaster-001"
    shutil.copytree(model.run_.path, copy)
    facts = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**facts, "status": "running"}))
    with pytest.raises(ArtefactError, match="fitted on a frame in memory"):
        resume(copy)
    with pytest.raises(ArtefactError, match="the data differ"):
        resume(copy, synthesise(series=2, length=61))
    assert resume(copy, synthesise(series=2, length=60)).run_.facts["status"] == "finished"


@pytest.mark.skipif(os.geteuid() == 0, reason="needs a user whom permissions stop; this is the superuser")
def test_runs_folder_that_may_not_be_written(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError):
        small(tmp_path / "runs").fit(seasonal())


def test_evaluation_that_cannot_be_saved_is_still_given(model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from gatework.say import recording

    def full(*arguments: Any) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(type(model.run_), "write_bytes", full)
    with recording() as said:
        evaluation = model.evaluate(synthesise(series=2, length=60), windows=1)
    assert evaluation["MAE"] > 0 and any("not saved: the disk is full" in line for line in said)
