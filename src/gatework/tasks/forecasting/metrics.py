"""Scores of forecasts. Arrays are [N, H]: N forecasts of H steps; steps whose truth is missing count for nothing.

Everywhere `observed` [N, H] says which true values are known; None = those that are finite. A score with nothing to
count is nan. Smaller is better except for coverage, which should be its nominal level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def mae(y: Array, forecast: Array, observed: Mask | None = None) -> float:
    """Mean absolute error, in the target's unit: mean |y - f|."""
    return _mean(np.abs(y - forecast), y, observed)


def mse(y: Array, forecast: Array, observed: Mask | None = None) -> float:
    """Mean squared error, in the target's unit squared: mean (y - f)^2."""
    return _mean((y - forecast) ** 2, y, observed)


def rmse(y: Array, forecast: Array, observed: Mask | None = None) -> float:
    """Root of the mean squared error, in the target's unit."""
    return float(np.sqrt(mse(y, forecast, observed)))


def smape(y: Array, forecast: Array, observed: Mask | None = None) -> float:
    """Symmetric mean absolute percentage error, 0 to 200 as in M4: mean of 200 |y - f| / (|y| + |f|), 0 / 0 being 0."""
    size = np.abs(y) + np.abs(forecast)
    error = np.abs(y - forecast)
    return _mean(200 * np.divide(error, size, out=np.zeros_like(error), where=size != 0), y, observed)


def mase(y: Array, forecast: Array, scale: Array, observed: Mask | None = None) -> float:
    """Mean absolute scaled error: |y - f| over `scale` [N], the in-sample error of the seasonal naive forecast.

    Averaged within a forecast first, then over forecasts (as in M4); forecasts whose scale is 0 or nan are left out.

    Source: Hyndman & Koehler, Another look at measures of forecast accuracy, IJF 22 (2006).
    """
    known = _known(y, observed)
    error = np.where(known, np.abs(y - forecast), 0.0).sum(1)
    use = known.any(1) & np.isfinite(scale) & (scale > 0)
    return float((error[use] / known[use].sum(1) / scale[use]).mean()) if use.any() else float("nan")


def quantile_loss(
    y: Array, quantiles: NDArray[np.float64], levels: Sequence[float], observed: Mask | None = None
) -> float:
    """Mean quantile (pinball) loss, in the target's unit: over levels q, 2 max(q d, (q - 1) d) with d = y - quantile.

    With the factor 2 the loss of the median is the absolute error, and the mean over even levels estimates the CRPS.
    `quantiles` is [N, H, Q], one for each of `levels`.
    """
    return _mean(_pinball(y, quantiles, levels).mean(-1), y, observed)


def weighted_quantile_loss(
    y: Array, quantiles: NDArray[np.float64], levels: Sequence[float], observed: Mask | None = None
) -> float:
    """Quantile loss as a share of the size of the target: sum over steps, mean over levels, over sum |y| (GluonTS)."""
    known = _known(y, observed)
    size = float(np.abs(y[known]).sum())
    return float(_pinball(y, quantiles, levels).mean(-1)[known].sum() / size) if size > 0 else float("nan")


def coverage(y: Array, low: Array, high: Array, observed: Mask | None = None) -> float:
    """Share of true values inside [low, high], 0 to 1; should be the interval's level."""
    return _mean(((y >= low) & (y <= high)).astype(np.float64), y, observed)


def owa(smape: float, mase: float, naive2_smape: float, naive2_mase: float) -> float:
    """Overall weighted average of M4: the mean of sMAPE and MASE, each over that of the Naive2 forecast.

    Source: Makridakis, Spiliotis & Assimakopoulos, The M4 competition, IJF 36 (2020).
    """
    return 0.5 * (smape / naive2_smape + mase / naive2_mase)


def seasonal_scale(history: Array, season: int) -> float:
    """The scale of MASE: mean |y_t - y_(t - season)| of one history [T] where both are known; nan where none are."""
    lag = season if len(history) > season else 1
    change = np.abs(history[lag:] - history[:-lag])
    change = change[np.isfinite(change)]
    return float(change.mean()) if len(change) else float("nan")


def _pinball(y: Array, quantiles: NDArray[np.float64], levels: Sequence[float]) -> NDArray[np.float64]:
    level = np.asarray(levels, dtype=np.float64)
    distance = y[..., None] - quantiles
    return 2 * np.maximum(level * distance, (level - 1) * distance)


def _known(y: Array, observed: Mask | None) -> Mask:
    return np.isfinite(y) if observed is None else observed & np.isfinite(y)


def _mean(values: Array, y: Array, observed: Mask | None) -> float:
    known = _known(y, observed)
    return float(values[known].mean()) if known.any() else float("nan")
