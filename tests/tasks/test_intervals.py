"""Calibrated intervals hold what they say, on data neither trained nor calibrated on, whatever the scale."""

from __future__ import annotations

import numpy as np
import pytest

from gatework.tasks.forecasting.intervals import Calibration

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)


def forecasts(count: int, seed: int, stretch: float, horizon: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian truth whose spread grows with the step and differs 1000-fold; quantiles too wide by `stretch`."""
    from scipy.stats import norm

    random = np.random.default_rng(seed)
    spread = 10.0 ** random.uniform(-1, 2, (count, 1)) * np.sqrt(np.arange(1, horizon + 1))
    centre = 100 * random.normal(size=(count, horizon))
    truth = centre + spread * random.normal(size=(count, horizon))
    return truth, centre[..., None] + stretch * spread[..., None] * norm.ppf(LEVELS)


def coverage(truth: np.ndarray, quantiles: np.ndarray, low: int) -> np.ndarray:
    return ((truth >= quantiles[..., low]) & (truth <= quantiles[..., -1 - low])).mean(0)


@pytest.mark.parametrize("stretch", [0.3, 1.0, 3.0])
def test_coverage_holds_for_every_step(stretch: float):
    calibration = Calibration.of(*forecasts(600, 0, stretch), LEVELS)
    truth, raw = forecasts(4000, 1, stretch)
    calibrated = calibration.apply(raw)
    for low, nominal in ((0, 0.9), (1, 0.8), (2, 0.5)):
        if stretch != 1:
            assert abs(coverage(truth, raw, low).mean() - nominal) > 0.05, "the raw forecasts should be wrong"
        assert abs(coverage(truth, calibrated, low).mean() - nominal) < 0.02
        assert np.abs(coverage(truth, calibrated, low) - nominal).max() < 0.06
    assert (np.diff(calibrated, axis=-1) >= 0).all()
    assert np.array_equal(calibrated[..., 3], raw[..., 3]), "the median stays"


def test_few_windows_pool_their_steps():
    truth, raw = forecasts(6, 2, 0.2, horizon=24)
    calibration = Calibration.of(truth, raw, LEVELS)
    assert calibration.samples == 144
    assert len(np.unique(calibration.factors[:, 1])) == 1, "144 values are one pool"
    other, wrong = forecasts(4000, 3, 0.2, horizon=24)
    assert coverage(other, calibration.apply(wrong), 1).mean() == pytest.approx(0.8, abs=0.08)


def test_too_few_values_change_nothing():
    truth, raw = forecasts(2, 4, 0.2)
    calibration = Calibration.of(truth, raw, LEVELS)
    assert calibration.samples == 0 and np.array_equal(calibration.apply(raw), raw)


def test_missing_truth_is_left_out():
    truth, raw = forecasts(300, 5, 2.0)
    holes = np.where(np.random.default_rng(0).uniform(size=truth.shape) < 0.3, np.nan, truth)
    calibration = Calibration.of(holes, raw, LEVELS)
    assert calibration.samples == np.isfinite(holes).sum()
    other, wide = forecasts(3000, 6, 2.0)
    assert coverage(other, calibration.apply(wide), 1).mean() == pytest.approx(0.8, abs=0.03)


def test_quantiles_that_coincide_are_survived():
    truth, raw = forecasts(100, 7, 1.0)
    flat = np.repeat(raw[..., 3:4], len(LEVELS), axis=-1)
    assert np.isfinite(Calibration.of(truth, flat, LEVELS).apply(flat)).all()


def test_json_and_back_and_wrong_shapes():
    calibration = Calibration.of(*forecasts(50, 8, 1.5), LEVELS)
    again = Calibration.from_json(calibration.to_json(), LEVELS, 8)
    assert np.array_equal(again.factors, calibration.factors)
    with pytest.raises(ValueError, match="calibration of shape"):
        Calibration.from_json(calibration.to_json(), LEVELS, 9)
