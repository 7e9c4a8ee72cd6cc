"""Conformal calibration: quantile forecasts stretched until, on held-out data, they hold what they say.

Source: Romano, Patterson & Candes, Conformalized quantile regression, NeurIPS 2019 (split conformal on intervals); here
the correction multiplies the distance to the median, so it adapts to a series' scale and to how sure the network is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_ENOUGH = 200  # samples behind one factor, from neighbouring steps where one step has fewer
_FEWEST = 20
_LARGEST = 20.0


@dataclass
class Calibration:
    """Factors [H, Q] on the distance of each quantile to the median, one for each step ahead."""

    levels: tuple[float, ...]
    factors: Array
    samples: int

    @classmethod
    def none(cls, levels: Sequence[float], horizon: int) -> Calibration:
        """Leaves every forecast as it is."""
        return cls(tuple(levels), np.ones((horizon, len(levels))), 0)

    @classmethod
    def of(cls, truth: Array, quantiles: Array, levels: Sequence[float]) -> Calibration:
        """Learn the factors from held-out forecasts.

        Both ends of an interval are stretched alike: what moved all values to one side in the held-out time will
        seldom do so again, and a factor for each end would expect it to.

        Args:
            truth: [N, H], nan where not known.
            quantiles: [N, H, Q], sorted along Q.
            levels: of the quantiles, increasing, 0.5 among them.

        A step's factor comes from at least 200 samples, or all there are, taken from the nearest steps; with fewer than
        20 in all nothing is changed (`samples` is 0).
        """
        calibration = cls.none(levels, truth.shape[1])
        known = np.isfinite(truth)
        if known.sum() < _FEWEST:
            return calibration
        calibration.samples = int(known.sum())
        median = quantiles[..., list(levels).index(0.5)]
        for ends, share in _intervals(levels):
            reach = [_reach(truth, median, quantiles[..., end]) for end in ends]
            calibration.factors[:, ends] = _factors(np.max(reach, axis=0), known, share)[:, None]
        return calibration

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it; the levels stand in the settings."""
        return {"factors": self.factors.tolist(), "samples": self.samples}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], levels: Sequence[float], horizon: int) -> Calibration:
        """What `to_json` gave; ValueError when it does not fit levels and horizon."""
        factors = np.asarray(value["factors"], dtype=np.float64)
        if factors.shape != (horizon, len(levels)) or not np.isfinite(factors).all():
            raise ValueError(f"calibration of shape {factors.shape}, expected {(horizon, len(levels))}")
        return cls(tuple(levels), factors, int(value["samples"]))

    def apply(self, quantiles: Array) -> Array:
        """Calibrated quantiles [N, H, Q], sorted, with the median as it was."""
        middle = self.levels.index(0.5)
        median = quantiles[..., middle : middle + 1]
        return np.sort(median + (quantiles - median) * self.factors, axis=-1)


def _intervals(levels: Sequence[float]) -> list[tuple[list[int], float]]:
    """(positions of both ends, share inside) of the intervals around the median; (position, share) of a lone level."""
    found: list[tuple[list[int], float]] = []
    for low, level in enumerate(levels):
        partner = [high for high, other in enumerate(levels) if abs(level + other - 1) < 1e-9 and other != 0.5]
        if level < 0.5 and partner:
            found.append(([low, partner[0]], 1 - 2 * level))
        elif level != 0.5 and not partner:
            found.append(([low], max(level, 1 - level)))
    return found


def _reach(truth: Array, median: Array, end: Array) -> Array:
    """How far the truth lies from the median towards an end of the interval, in units of the distance to it [N, H]."""
    distance = end - median
    # of the same forecast, for series may differ a million times in size
    floor = 1e-3 * np.abs(distance).mean(1, keepdims=True) + 1e-12
    reach: Array = (truth - median) * np.sign(distance) / np.maximum(np.abs(distance), floor)
    return reach


def _factors(reach: Array, known: NDArray[np.bool_], share: float) -> Array:
    """What an interval's half must be stretched by, for each step [H], to hold `share` of the samples around it."""
    factors = []
    for step in range(reach.shape[1]):
        sample = _around(reach, known, step)
        rank = min(np.ceil((len(sample) + 1) * share) / len(sample), 1.0)
        factors.append(np.quantile(sample, rank, method="inverted_cdf"))
    clipped: Array = np.clip(factors, 0.0, _LARGEST)
    return clipped


def _around(values: Array, known: NDArray[np.bool_], step: int) -> Array:
    """The values at `step` and at as many steps on both sides as make 200 known ones, or all."""
    horizon = values.shape[1]
    for reach in range(horizon):
        window = slice(max(step - reach, 0), step + reach + 1)
        if known[:, window].sum() >= _ENOUGH:
            break
    return values[:, window][known[:, window]]
