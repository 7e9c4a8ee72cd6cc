"""Conformal calibration: quantile forecasts stretched until, on held-out data, they hold what they say.

Source: Romano, Patterson & Candes, Conformalized quantile regression, NeurIPS 2019 (split conformal on quantiles); here
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

        Args:
            truth: [N, H], nan where not known.
            quantiles: [N, H, Q], sorted along Q.
            levels: of the quantiles, increasing, 0.5 among them.

        A step's factor comes from at least 200 samples, or all there are, taken from the nearest steps; with fewer than
        20 in all nothing is changed (`samples` is 0).
        """
        horizon = truth.shape[1]
        calibration = cls.none(levels, horizon)
        known = np.isfinite(truth)
        if known.sum() < _FEWEST:
            return calibration
        calibration.samples = int(known.sum())
        middle = list(levels).index(0.5)
        median = quantiles[..., middle]
        for index, level in enumerate(levels):
            if index == middle:
                continue
            side = 1.0 if level > 0.5 else -1.0
            distance = side * (quantiles[..., index] - median)
            floor = 1e-3 * np.nanmean(distance) + 1e-12
            ratio = side * (truth - median) / np.maximum(distance, floor)
            share = level if level > 0.5 else 1 - level
            for step in range(horizon):
                sample = _around(ratio, known, step)
                rank = min(np.ceil((len(sample) + 1) * share) / len(sample), 1.0)
                factor = np.quantile(sample, rank, method="inverted_cdf")
                calibration.factors[step, index] = np.clip(factor, 0.0, _LARGEST)
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


def _around(ratio: Array, known: NDArray[np.bool_], step: int) -> Array:
    """The ratios at `step` and at as many steps on both sides as make 200 samples, or all."""
    horizon = ratio.shape[1]
    for reach in range(horizon):
        window = slice(max(step - reach, 0), step + reach + 1)
        if known[:, window].sum() >= _ENOUGH:
            break
    return ratio[:, window][known[:, window]]
