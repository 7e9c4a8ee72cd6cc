"""Location and spread of each series, from the rows that a model may see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gatework.data.frequency import Ints
from gatework.data.panel import Panel
from gatework.data.values import Floats


@dataclass(frozen=True)
class Scales:
    """A series' values v become (v - shift) / scale.

    Args:
        shift: float64 [N], the mean of the observed values.
        scale: float64 [N], their standard deviation; for a constant series its size, or 1 when it is zero.
    """

    shift: Floats
    scale: Floats

    @classmethod
    def of(cls, panel: Panel, ends: Ints | None = None) -> Scales:
        """The scales of each series of `panel`, from its observed values in rows before `ends` [N] (default: all)."""
        limit = panel.ends if ends is None else ends
        series = panel.row_series
        used = panel.observed & (np.arange(len(series)) < limit[series])
        series, values, count = series[used], panel.values[used], len(panel)
        number = np.maximum(np.bincount(series, minlength=count), 1)
        shift = np.bincount(series, weights=values, minlength=count) / number
        variance = np.bincount(series, weights=(values - shift[series]) ** 2, minlength=count) / number
        scale = np.sqrt(variance)
        # rounding leaves a constant series a spread of about 1e-16 of its size
        constant = scale <= 1e-12 * np.abs(shift)
        size = np.where(shift == 0, 1.0, np.abs(shift))
        return cls(shift, np.where(constant, size, scale))
