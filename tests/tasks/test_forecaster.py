"""The forecaster from data to forecast: kinds of frames, covariates, unseen series, what is saved, what is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest

import gatework
from gatework.data import synthesise
from gatework.errors import ArtefactError
from gatework.run import Run, list_runs
from gatework.say import recording
from gatework.tasks import base, fitting, load, plots
from gatework.tasks.config import flatten, read_yaml
from gatework.tasks.forecaster import Forecaster
from gatework.train import fit as train_fit
from gatework.train import jobs, schedule
from gatework.train.problem import Problem
from tests.tasks.small import seasonal, small
from tests.train.watch import Watch


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return seasonal()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, data: pd.DataFrame):
    return small(tmp_path_factory.mktemp("runs")).fit(data)


def test_predict_gives_the_steps_after_the_end(model, data):
    forecast = model.predict(data)
    assert list(forecast.columns) == ["unique_id", "ds", "y_hat", "mean", *(f"q{q}" for q in range(10, 100, 10))]
    assert forecast["unique_id"].tolist() == [f"s{i}" for i in range(3) for _ in range(6)]
    expected = pd.date_range(data["ds"].max(), periods=7)[1:]
    assert (forecast["ds"].to_numpy().reshape(3, 6) == expected.to_numpy()).all()
    quantiles = forecast.filter(regex="^q").to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all() and np.isfinite(quantiles).all()
    assert (forecast["y_hat"] == forecast["q50"]).all()


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "csv", "parquet"])
def test_same_answers_whatever_the_data_came_in(model, data, kind: str, tmp_path: Path):
    expected = model.predict(data)
    if kind == "polars":
        got = model.predict(polars.from_pandas(data))
        assert isinstance(got, polars.DataFrame)
        got = pd.DataFrame(got.to_dict(as_series=False))
    elif kind == "pyarrow":
        got = model.predict(pyarrow.Table.from_pandas(data))
        assert isinstance(got, pyarrow.Table)
        got = got.to_pandas()
    else:
        path = tmp_path / f"data.{kind}"
        data.to_csv(path, index=False) if kind == "csv" else data.to_parquet(path)
        got = model.predict(path)
    assert np.allclose(got["y_hat"], expected["y_hat"], rtol=1e-6)
    assert (pd.to_datetime(got["ds"]).to_numpy() == expected["ds"].to_numpy()).all()


def test_one_series_equals_its_row_among_many(model, data):
    together = model.predict(data)
    for name, rows in data.groupby("unique_id"):
        alone = model.predict(rows)
        own = together[together["unique_id"] == name]
        # products of other sizes are summed in another order: a few units in the last place of fp32
        assert np.allclose(alone.filter(regex="^q"), own.filter(regex="^q"), rtol=2e-6)


def test_a_series_not_seen_in_training_is_forecast(model):
    strange = seasonal(series=1, seed=9).assign(unique_id="new")
    forecast = model.predict(strange)
    assert forecast["unique_id"].unique().tolist() == ["new"] and np.isfinite(forecast["y_hat"]).all()


def test_a_history_shorter_than_the_context_is_forecast(model, data):
    short = data.groupby("unique_id").tail(5)
    assert np.isfinite(model.predict(short)["y_hat"]).all()


def test_loaded_model_gives_the_same_answers(model, data):
    loaded = gatework.load(model.run_.path)
    pd.testing.assert_frame_equal(loaded.predict(data), model.predict(data))
    assert loaded.config_ == model.config_
    assert loaded.evaluate(data, windows=2).scores == model.evaluate(data, windows=2).scores


def test_run_folder_holds_everything(model):
    names = {str(path.relative_to(model.run_.path)) for path in model.run_.path.rglob("*") if path.is_file()}
    assert {
        "config.yaml", "run.json", "metrics.jsonl", "log.txt", "README.md", "evaluation.json", "predictions.csv",
        "worst.csv",
        "model/weights.safetensors", "model/model.json", "last/current.json", "plots/forecast.png",
        "plots/forecast.json",
        "plots/learning_curve.png", "plots/error_by_horizon.png", "plots/coverage.png",
    } <= names  # fmt: skip
    assert not [name for name in names if name.endswith((".pt", ".pkl", ".pickle", ".bin", ".tmp"))]
    for name in names:
        if name.startswith("plots/") and name.endswith(".png"):
            assert (model.run_.path / name).read_bytes().startswith(b"\x89PNG") and (
                model.run_.path / name
            ).stat().st_size > 5000
    facts = json.loads((model.run_.path / "run.json").read_text())
    assert (
        facts["status"] == "finished" and facts["score"]["MAE"] > 0 and facts["baselines"]["seasonal naive"]["MAE"] > 0
    )
    assert any("frequency: D" in line for line in facts["decisions"])
    card = (model.run_.path / "README.md").read_text()
    assert "| MAE |" in card and facts["data"]["hash"] in card and f"gatework predict {model.run_.path}" in card
    rows = model.run_.read_jsonl("metrics.jsonl")
    assert [(row["epoch"], row["step"], "refit" in row) for row in rows] == [
        (1, 4, False),
        (2, 8, False),
        (1, 4, True),
        (2, 8, True),
    ]
    assert flatten(model.config_)["context"] == read_yaml(model.run_.path / "config.yaml")["context"] == 14
    assert list_runs(model.run_.path.parent)[0].status == "finished"


@pytest.mark.usefixtures("painted")
def test_plots_are_drawn_again_from_the_numbers(model):
    from gatework.tasks.plots import drawings, png

    for name in ("forecast", "coverage", "error_by_horizon", "learning_curve"):
        figure = drawings()[name](model.run_.read_json(f"plots/{name}.json"))
        assert all(axis.get_xlabel() or name == "forecast" for axis in figure.axes if axis.axison)
        assert all(axis.get_ylabel() for axis in figure.axes if axis.axison)
        assert png(figure) == model.run_.path_of(f"plots/{name}.png").read_bytes()


def test_evaluate_stands_beside_the_baseline_and_is_saved(model, data):
    evaluation = model.evaluate(data, windows=3, step=2)
    text = str(evaluation)
    for word in (
        "MAE",
        "RMSE",
        "sMAPE",
        "MASE",
        "quantile loss",
        "coverage of 80 %",
        "seasonal naive",
        "skill",
        "nominal 0.8",
    ):
        assert word in text
    backtest = model.backtest(data, windows=3, step=2)
    assert backtest.truth.shape == (9, 6) and sorted(set(backtest.origins)) == [80, 82, 84]
    assert evaluation["MAE"] == pytest.approx(np.abs(backtest.truth - backtest.median).mean())
    assert evaluation.skill["MAE"] == pytest.approx(
        1 - evaluation["MAE"] / evaluation.baselines["seasonal naive"]["MAE"]
    )
    saved = model.run_.path / "evaluations"
    latest = sorted(saved.iterdir())[-1]
    assert json.loads((latest / "evaluation.json").read_text())["scores"]["MAE"] == pytest.approx(evaluation["MAE"])
    assert (latest / "plots" / "forecast.png").exists() and (latest / "worst.csv").exists()


def test_backtest_sees_nothing_after_the_origin(model, data):
    cut = data[data["ds"] < data["ds"].max() - pd.Timedelta(days=5)]
    changed = data.copy()
    changed.loc[changed["ds"] >= data["ds"].max() - pd.Timedelta(days=5), "y"] *= 50
    first, second = (model.backtest(frame, windows=1).quantiles for frame in (data, changed))
    assert np.array_equal(first, second)
    assert np.allclose(first[..., 4].ravel(), model.predict(cut)["y_hat"], rtol=2e-6)


def test_evaluating_the_training_data_is_said(model, data):
    with recording() as said:
        model.evaluate(data, windows=1)
    assert any("a model that has seen them" in line for line in said)


@pytest.mark.parametrize("decoder", ["direct", "recursive"])
def test_covariates_of_all_kinds(tmp_path: Path, decoder: str):
    table = synthesise(series=3, length=80)
    settings = {
        "past_covariates": ["visitors"], "future_covariates": ["promotion"], "static_covariates": ["kind"],
        "horizon": 10,
    }  # fmt: skip
    model = small(tmp_path, decoder=decoder, **settings).fit(table)
    end = table["ds"].max()
    future = pd.DataFrame(
        {"unique_id": f"shop{i}", "ds": pd.date_range(end, periods=11)[1:], "promotion": i % 2} for i in (1, 2, 3)
    ).explode("ds")
    forecast = model.predict(table, future=future.reset_index(drop=True))
    assert len(forecast) == 30 and np.isfinite(forecast["y_hat"]).all()
    with pytest.raises(gatework.errors.InputError, match="future covariates promotion are missing"):
        model.predict(table)
    assert np.allclose(load(model.run_.path).predict(table, future)["y_hat"], forecast["y_hat"])
    hidden = table.copy()
    late = hidden["ds"] > end - pd.Timedelta(days=10)
    hidden.loc[late, "visitors"] = 10**6
    first, second = (model.backtest(frame, windows=1).quantiles for frame in (table, hidden))
    assert np.array_equal(first, second), "past covariates after the origin were seen"


def test_recursive_goes_on_from_its_own_forecasts(tmp_path: Path, data):
    model = small(tmp_path, decoder="recursive", horizon=20).fit(data)
    changed = data.copy()
    changed.loc[changed["ds"] > data["ds"].max() - pd.Timedelta(days=20), "y"] = 0.0
    first, second = (model.backtest(frame, windows=1).quantiles for frame in (data, changed))
    assert first.shape[1] == 20 and np.array_equal(first, second)


def test_members_are_averaged(tmp_path: Path, data):
    model = small(tmp_path, members=2, calibrate=False).fit(data)
    rows = model.run_.read_jsonl("metrics.jsonl")
    assert [row["member"] for row in rows] == [1, 1, 2, 2, 1, 1, 2, 2] and rows[0]["loss"] != rows[2]["loss"]
    both = model.predict(data)["y_hat"].to_numpy()
    assert len(load(model.run_.path).nets_) == 2
    whole = model.nets_
    alone = []
    for net in whole:
        model.nets_ = [net]
        alone.append(model.predict(data)["y_hat"].to_numpy())
    assert np.allclose(both, np.mean(alone, axis=0), rtol=1e-6)


@pytest.mark.parametrize("cell", ["gru", "peephole-lstm", "janet"])
def test_any_cell_of_the_catalogue(tmp_path: Path, data, cell: str):
    model = small(tmp_path, cell=cell, max_epochs=1).fit(data)
    assert np.isfinite(model.predict(data)["y_hat"]).all()


def test_several_targets_are_several_series(tmp_path: Path):
    wide = seasonal().pivot(index="ds", columns="unique_id", values="y").reset_index()
    model = small(tmp_path, target=["s0", "s1", "s2"], max_epochs=1).fit(wide)
    assert model.predict(wide)["unique_id"].unique().tolist() == ["s0", "s1", "s2"]


def test_learning_rate_is_found_and_drawn(tmp_path: Path, data):
    model = small(tmp_path, learning_rate="auto", max_epochs=1).fit(data)
    assert 1e-5 < model.run_.facts["learning_rate"] < 1 and (model.run_.path / "plots" / "learning_rate.png").exists()


@pytest.mark.usefixtures("painted")
def test_nothing_held_out_is_said(tmp_path: Path, data):
    with recording() as said:
        model = small(tmp_path, holdout=0, max_epochs=1).fit(data)
    assert any("nothing is held out" in line for line in said) and model.evaluation_ is None
    assert model.run_.facts["score"] is None and "no score" in (model.run_.path / "README.md").read_text()


@pytest.mark.usefixtures("painted")
def test_missing_values_are_no_training_target(tmp_path: Path, data):
    holes = data.copy()
    holes.loc[holes.index % 7 == 3, "y"] = np.nan
    model = small(tmp_path).fit(holes)
    assert np.isfinite(model.predict(holes)["y_hat"]).all() and np.isfinite(model.evaluation_["MAE"])


def test_seed_repeats_the_weights_and_another_does_not(tmp_path: Path, data):
    first, second, other = (small(tmp_path, seed=seed).fit(data).predict(data)["y_hat"] for seed in (3, 3, 4))
    assert np.array_equal(first, second) and not np.array_equal(first, other)


@pytest.mark.parametrize(("limit", "members"), [(20.0, 1), (30.0, 2)])
def test_time_limit_is_kept(tmp_path: Path, data, monkeypatch: pytest.MonkeyPatch, limit: float, members: int):
    """Reading, training, validations, conclusion and pictures, each of which takes a while, end within it."""
    watch = Watch()
    watch.worn_by(monkeypatch, base, fitting, plots, train_fit, jobs, schedule)
    problem = Forecaster.problem

    def slow(*given: Any) -> Problem:
        made = problem(*given)
        made.batch = watch.lasting(0.25, made.batch)
        made.validate = made.validate and watch.lasting(0.4, made.validate)
        return made

    monkeypatch.setattr(Forecaster, "problem", watch.lasting(0.5, slow))
    monkeypatch.setattr(Forecaster, "read", watch.lasting(1.0, Forecaster.read))
    monkeypatch.setattr(Forecaster, "conclude", watch.lasting(0.8 * members, Forecaster.conclude))
    monkeypatch.setattr(plots, "png", watch.lasting(0.2, plots.png))
    began = watch.seconds
    limited = small(tmp_path, time_limit=limit, members=members, max_epochs=1000, patience=0).fit(data)
    assert 0.85 * limit < watch.seconds - began < 1.05 * limit
    assert limited.run_.facts["stopped_by"] == ["time"] * (2 * members)


def test_learns_a_season_better_than_naive(tmp_path: Path):
    table = seasonal(series=4, length=150, noise=1.0)
    model = small(tmp_path, max_epochs=15, hidden_size=16).fit(table)
    assert model.evaluation_.skill["MAE"] > 0.1


def test_not_trained_yet(data):
    with pytest.raises(gatework.errors.InputError, match=r"not trained yet; call fit"):
        gatework.Forecaster().predict(data)


def test_a_run_that_is_not_finished_is_not_loaded(tmp_path: Path):
    run = Run.create("forecaster", tmp_path)
    with pytest.raises(ArtefactError, match="stopped before it began"):
        load(run.path)
    with pytest.raises(ArtefactError, match="does not exist"):
        load(tmp_path / "none")
    with pytest.raises(ArtefactError, match="not a run folder"):
        load(tmp_path)
