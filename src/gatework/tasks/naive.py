"""The forecasts anyone can make without a model; every score stands beside one of them.

Histories are [T] arrays, oldest first, nan where a value is missing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def seasonal_naive(history: Array, season: int, horizon: int) -> Array:
    """The last season again and again [horizon]; a missing value is taken from the season before, or else the last known.

    With `season` 1, or a history shorter than a season, this is the last known value.
    """
    filled = _filled(history, season)
    lag = season if len(filled) >= season else 1
    return filled[len(filled) - lag + np.arange(horizon) % lag]


def naive2(history: Array, season: int, horizon: int) -> Array:
    """The last value, seasonally adjusted where the history is seasonal: the benchmark of M4's OWA [horizon].

    Seasonal means that the autocorrelation at lag `season` passes a 90 % test; the adjustment is the classical
    multiplicative decomposition.

    Source: Makridakis, Spiliotis & Assimakopoulos, The M4 competition, IJF 36 (2020), and its published benchmark code's description.
    """
    filled = _filled(history, 1)
    factors = np.ones(horizon)
    if season > 1 and (filled > 0).all() and _is_seasonal(filled, season):
        index = _seasonal_factors(filled, season)
        filled = filled / index[np.arange(len(filled)) % season]
        factors = index[(len(filled) + np.arange(horizon)) % season]
    return filled[-1] * factors


def _filled(history: Array, season: int) -> Array:
    filled = np.array(history, dtype=np.float64)
    known = np.flatnonzero(np.isfinite(filled))
    if len(known) == 0:
        return np.full_like(filled, np.nan)
    filled[: known[0]] = filled[known[0]]
    for at in np.flatnonzero(~np.isfinite(filled)):
        filled[at] = filled[at - season] if at >= season else filled[at - 1]
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
    return index / index.mean()
