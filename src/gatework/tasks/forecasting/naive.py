"""The forecasts anyone can make without a model; every score stands beside one of them.

Values stand oldest first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


def seasonal_naive(values: Array, first: Ints, origins: Ints, season: int, horizon: int) -> Array:
    """The last season again and again, for W forecasts at once [W, horizon].

    Args:
        values: [R], gaps filled with the last known value.
        first: [W], the row in which the series of each forecast begins.
        origins: [W], the row of its first step.
        season: rows; with 1, or where less than a season is known, the last value is repeated.
        horizon: steps.
    """
    lag = np.where(origins - first >= season, season, 1)[:, None]
    repeated: Array = values[origins[:, None] - lag + np.arange(horizon) % lag]
    return repeated


def naive2(history: Array, season: int, horizon: int) -> Array:
    """The last value, seasonally adjusted where the history [T] is seasonal: the benchmark of M4's OWA [horizon].

    A missing value (nan) is taken from the row before. Seasonal means that the autocorrelation at lag `season` passes
    a 90 % test; the adjustment is the classical multiplicative decomposition.

    Source: Makridakis, Spiliotis & Assimakopoulos, The M4 competition, IJF 36 (2020).
    """
    filled = _filled(history)
    factors = np.ones(horizon)
    if season > 1 and (filled > 0).all() and _is_seasonal(filled, season):
        index = _seasonal_factors(filled, season)
        filled = filled / index[np.arange(len(filled)) % season]
        factors = index[(len(filled) + np.arange(horizon)) % season]
    forecast: Array = filled[-1] * factors
    return forecast


def _filled(history: Array) -> Array:
    known = np.isfinite(history)
    latest = np.maximum.accumulate(np.where(known, np.arange(len(history)), int(known.argmax())))
    filled: Array = np.asarray(history, dtype=np.float64)[latest]
    return filled


def _is_seasonal(values: Array, season: int) -> bool:
    if len(values) < 3 * season:
        return False
    centred = values - values.mean()
    power = float(centred @ centred)
    if power == 0:
        return False
    correlation = np.array([float(centred[lag:] @ centred[:-lag]) / power for lag in range(1, season + 1)])
    limit = 1.645 * np.sqrt((1 + 2 * (correlation[:-1] ** 2).sum()) / len(values))
    return bool(abs(correlation[-1]) > limit)


def _seasonal_factors(values: Array, season: int) -> Array:
    """Multiplicative indices [season], averaging 1, from the ratio to a centred moving average."""
    weights = np.ones(season) / season
    if season % 2 == 0:
        weights = np.r_[0.5, np.ones(season - 1), 0.5] / season
    trend = np.convolve(values, weights, mode="valid")
    first = (len(weights) - 1) // 2
    ratio = values[first : first + len(trend)] / trend
    phase = (first + np.arange(len(ratio))) % season
    index = np.array([ratio[phase == p].mean() for p in range(season)])
    normalised: Array = index / index.mean()
    return normalised
