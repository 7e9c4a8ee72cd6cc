"""Metrics against hand-worked values, published figures, and what masking must not change."""

from __future__ import annotations

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from gatework.tasks.forecasting import metrics, naive

Y = np.array([[2.0, 4.0], [1.0, 0.0]])
F = np.array([[1.0, 4.0], [3.0, 0.0]])


def test_worked_by_hand():
    assert metrics.mae(Y, F) == pytest.approx(3 / 4)
    assert metrics.mse(Y, F) == pytest.approx(5 / 4)
    assert metrics.rmse(Y, F) == pytest.approx(math.sqrt(5 / 4))
    assert metrics.smape(Y, F) == pytest.approx((200 / 3 + 0 + 200 * 2 / 4 + 0) / 4)
    assert metrics.mase(Y, F, np.array([0.5, 4.0])) == pytest.approx((0.5 / 0.5 + 1 / 4) / 2)
    assert metrics.coverage(Y, Y - 1, Y + np.array([[1, -0.5], [1, 1]])) == pytest.approx(3 / 4)
    assert metrics.owa(10, 2, 20, 1) == pytest.approx((0.5 + 2) / 2)


def test_quantile_loss_of_the_median_is_the_absolute_error():
    assert metrics.quantile_loss(Y, F[..., None], [0.5]) == pytest.approx(metrics.mae(Y, F))
    # level 0.9: above by 1 costs 2 * 0.9, below by 2 costs 2 * 0.1 * 2
    assert metrics.quantile_loss(Y, F[..., None], [0.9]) == pytest.approx((1.8 + 0.4) / 4)
    assert metrics.weighted_quantile_loss(Y, F[..., None], [0.9]) == pytest.approx((1.8 + 0.4) / 7)


@pytest.mark.parametrize("name", ["mae", "mse", "rmse", "smape"])
def test_missing_truth_counts_for_nothing(name: str):
    score = getattr(metrics, name)
    holes = np.where([[True, False], [True, True]], Y, np.nan)
    assert score(holes, F) == score(Y, F, np.isfinite(holes)) == pytest.approx(score(Y[Y != 4], F[Y != 4]))
    assert math.isnan(score(np.full_like(Y, np.nan), F))


def test_mase_leaves_out_series_without_a_scale():
    assert metrics.mase(Y, F, np.array([0.5, 0.0])) == pytest.approx(1.0)
    assert math.isnan(metrics.mase(Y, F, np.array([0.0, np.nan])))


def test_seasonal_scale():
    history = np.array([1.0, 10.0, 2.0, np.nan, 5.0, 10.0])
    assert metrics.seasonal_scale(history, 2) == pytest.approx((1 + 3) / 2)
    assert metrics.seasonal_scale(history, 50) == pytest.approx((9 + 8 + 5) / 3)
    assert math.isnan(metrics.seasonal_scale(np.array([1.0]), 1))


def test_seasonal_naive_repeats_the_season_or_the_last_value():
    values = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
    got = naive.seasonal_naive(values, np.array([0, 5]), np.array([5, 7]), 3, 4)
    assert got.tolist() == [[3, 4, 5, 3], [7, 7, 7, 7]]


@pytest.mark.parametrize(
    ("group", "season", "horizon", "published"),
    [("Hourly", 24, 48, (18.383, 2.395)), ("Weekly", 1, 13, (9.161, 2.777))],
)
def test_naive2_gives_the_published_m4_figures(data_folder: Path, group: str, season: int, horizon: int, published):
    def load(part: str) -> list[np.ndarray]:
        with gzip.open(data_folder / "m4" / f"{group}-{part}.csv.gz", "rt") as lines:
            return [np.array([float(v) for v in row[1:] if v]) for row in list(csv.reader(lines))[1:]]

    train, test = load("train"), np.stack(load("test"))
    forecast = np.stack([naive.naive2(x, season, horizon) for x in train])
    scale = np.array([metrics.seasonal_scale(x, season) for x in train])
    assert metrics.smape(test, forecast) == pytest.approx(published[0], abs=6e-4)
    assert metrics.mase(test, forecast, scale) == pytest.approx(published[1], abs=6e-4)
