"""Forecasts of windows whose truth is known, beside the seasonal naive ones, and their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatework.data import Panel, WindowIndex, to_frame
from gatework.tasks.evaluation import Evaluation, finite
from gatework.tasks.forecasting import metrics
from gatework.tasks.forecasting.naive import seasonal_naive

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
BASELINE = "seasonal naive"


@dataclass
class Backtest:
    """W windows of H steps.

    Attributes:
        panel: the series.
        series, origins: int64 [W], where each window is; an origin is the position of its first step in its series.
        truth: [W, H], nan where not known.
        quantiles: [W, H, Q].
        levels: of the quantiles, 0.5 among them.
        naive: [W, H].
        scale: [W], the mean seasonal change of the series before its first window (MASE's scale).
    """

    panel: Panel
    series: Ints
    origins: Ints
    truth: Array
    quantiles: Array
    levels: tuple[float, ...]
    naive: Array
    scale: Array

    @classmethod
    def of(
        cls,
        panel: Panel,
        index: WindowIndex,
        horizon: int,
        levels: Sequence[float],
        forecast: Callable[[Ints, Ints], Array],
    ) -> Backtest:
        """Forecast every window of `index`; `forecast` maps (series, origins) to quantiles [W, H, Q]."""
        import torch

        located = index.locate(torch.arange(len(index)))
        series, origins = (tensor.numpy() for tensor in located)
        rows = (panel.offsets[series] + origins)[:, None] + np.arange(horizon)
        truth = np.where(panel.observed[rows], panel.values[rows], np.nan)
        first, season = panel.offsets[series], panel.schema.season
        naive = seasonal_naive(panel.values, first, first + origins, season, horizon)
        scales = {int(i): _scale(panel, int(i), int(origins[series == i].min()), season) for i in np.unique(series)}
        scale = np.array([scales[int(i)] for i in series])
        return cls(panel, series, origins, truth, forecast(series, origins), tuple(levels), naive, scale)

    @property
    def median(self) -> Array:
        """The forecast with the least absolute error [W, H]."""
        return self.quantiles[..., self.levels.index(0.5)]

    @property
    def mean(self) -> Array:
        """The forecast with the least squared error [W, H]."""
        return mean_of(self.quantiles, self.levels)

    @property
    def intervals(self) -> list[tuple[float, Array, Array]]:
        """(level, low [W, H], high [W, H]) of every pair of quantiles around the median, widest first."""
        pairs = []
        for low, level in enumerate(self.levels):
            high = next((i for i, other in enumerate(self.levels) if abs(other - (1 - level)) < 1e-9), None)
            if level < 0.5 and high is not None:
                pairs.append((round(1 - 2 * level, 10), self.quantiles[..., low], self.quantiles[..., high]))
        return pairs

    def evaluation(self, title: str) -> Evaluation:
        """Every score of the model and of the baseline."""
        truth, naive = self.truth, self.naive
        same = np.repeat(naive[..., None], len(self.levels), axis=-1)
        scores, baseline = (
            {
                "MAE": metrics.mae(truth, point),
                "RMSE": metrics.rmse(truth, mean),
                "sMAPE": metrics.smape(truth, point),
                "MASE": metrics.mase(truth, point, self.scale),
                "quantile loss": metrics.quantile_loss(truth, quantiles, self.levels),
                "weighted quantile loss": metrics.weighted_quantile_loss(truth, quantiles, self.levels),
            }
            for point, mean, quantiles in ((self.median, self.mean, self.quantiles), (naive, naive, same))
        )
        nominal = {}
        for level, low, high in self.intervals:
            name = f"coverage of {100 * level:g} %"
            scores[name], nominal[name] = metrics.coverage(truth, low, high), level
        return Evaluation(
            title, scores, {BASELINE: baseline}, nominal=nominal, figures=self.figures(), tables=self.tables()
        )

    def scaled_loss(self) -> float:
        """Quantile loss in units of each series' own scale: what early stopping looks at."""
        usable = np.isfinite(self.scale) & (self.scale > 0)
        scale = np.where(usable, self.scale, 1.0)[:, None]
        return metrics.quantile_loss(self.truth / scale, self.quantiles / scale[..., None], self.levels)

    def figures(self, past: int = 0, panels: int = 4) -> dict[str, dict[str, Any]]:
        """The numbers of the plots: {"forecast": ..., "error_by_horizon": ..., "coverage": ...}."""
        unit = ", ".join(self.panel.schema.targets[:3])
        found: dict[str, dict[str, Any]] = {
            "forecast": {"unit": unit, "panels": [self._panel(w, past) for w in self._shown(panels)]},
            "error_by_horizon": {
                "unit": unit,
                "model": _column_means(np.abs(self.truth - self.median)),
                "baseline": _column_means(np.abs(self.truth - self.naive)),
                "baseline_name": BASELINE,
            },
        }
        if self.intervals:
            level, low, high = min(self.intervals, key=lambda pair: abs(pair[0] - 0.8))
            inside = np.where(np.isfinite(self.truth), (self.truth >= low) & (self.truth <= high), np.nan)
            found["coverage"] = {
                "nominal": [pair[0] for pair in self.intervals],
                "observed": [metrics.coverage(self.truth, pair[1], pair[2]) for pair in self.intervals],
                "level": level,
                "by_step": _column_means(inside),
            }
        return found

    def tables(self, count: int = 20) -> dict[str, Any]:
        """Frames: "predictions", every forecast beside the truth; "worst", the windows with the largest error."""
        columns = {"y": self.truth, **forecast_columns(self.quantiles, self.levels, self.levels), "naive": self.naive}
        known = np.isfinite(self.truth)
        error = np.where(known, np.abs(self.truth - self.median), 0.0).sum(1) / np.maximum(known.sum(1), 1)
        scaled = np.divide(error, self.scale, out=np.zeros_like(error), where=self.scale > 0)
        order = np.argsort(-scaled)[:count]
        starts = self.panel.schema.frequency.at(self.panel.starts[self.series], self.origins)
        worst = pd.DataFrame(
            {
                "unique_id": [self.panel.ids[self.series[w]] for w in order],
                "first_step": [self.panel.spoken_time(int(starts[w])) for w in order],
                "mae": error[order],
                "scaled_error": scaled[order],
            }
        )
        return {"predictions": to_frame(self.panel, columns, self.series, self.origins), "worst": worst}

    def _shown(self, count: int) -> list[int]:
        """The last window of up to `count` series, spread evenly over them."""
        last = {int(i): int(np.flatnonzero(self.series == i)[-1]) for i in np.unique(self.series)}
        chosen = np.unique(np.linspace(0, len(last) - 1, min(count, len(last))).round().astype(int))
        return [list(last.values())[position] for position in chosen]

    def _panel(self, window: int, past: int) -> dict[str, Any]:
        series, origin = int(self.series[window]), int(self.origins[window])
        horizon = self.truth.shape[1]
        begin = max(origin - (past or 3 * horizon), 0)
        start = int(self.panel.offsets[series])
        seen = slice(start + begin, start + origin)
        history = np.where(self.panel.observed[seen], self.panel.values[seen], np.nan)
        times = [self.panel.spoken_time(int(t)) for t in self.panel.times[start + begin : start + origin + horizon]]
        if not self.panel.schema.frequency.is_dates:
            times = [int(t) for t in times]  # type: ignore[misc]
        return {
            "id": self.panel.ids[series],
            "past_times": times[: origin - begin],
            "past": _nulls(history),
            "times": times[origin - begin :],
            "truth": _nulls(self.truth[window]),
            "median": _nulls(self.median[window]),
            "naive": _nulls(self.naive[window]),
            "bands": [[level, _nulls(low[window]), _nulls(high[window])] for level, low, high in self._two()],
        }

    def _two(self) -> list[tuple[float, Array, Array]]:
        """The interval nearest to 80 % and the one nearest to 40 %."""
        chosen = {min(self.intervals, key=lambda pair: abs(pair[0] - wish))[0] for wish in (0.8, 0.4) if self.intervals}
        return [pair for pair in self.intervals if pair[0] in chosen]


def forecast_columns(quantiles: Array, known: Sequence[float], wanted: Sequence[float]) -> dict[str, Array]:
    """{"y_hat": median, "mean": ..., "q10": ..., ...} of quantiles [W, H, Q] at the levels `known`."""
    columns = {"y_hat": quantiles[..., list(known).index(0.5)], "mean": mean_of(quantiles, known)}
    return columns | {f"q{100 * level:g}": quantiles[..., list(known).index(level)] for level in wanted}


def mean_of(quantiles: Array, levels: Sequence[float]) -> Array:
    """Estimate of the mean [W, H]: the average of the levels that lie evenly around the median."""
    even = [i for i, level in enumerate(levels) if any(abs(level + other - 1) < 1e-9 for other in levels)]
    mean: Array = quantiles[..., even].mean(-1)
    return mean


def _scale(panel: Panel, series: int, before: int, season: int) -> float:
    values, observed = panel.series(series)
    return metrics.seasonal_scale(np.where(observed, values, np.nan)[:before], season)


def _column_means(values: Array) -> list[float | None]:
    known = np.isfinite(values)
    counts = known.sum(0)
    means = np.where(known, values, 0).sum(0) / np.maximum(counts, 1)
    return [float(mean) if count else None for mean, count in zip(means, counts, strict=True)]


def _nulls(values: Array) -> list[float | None]:
    return list(finite({str(i): v for i, v in enumerate(values.tolist())}).values())
