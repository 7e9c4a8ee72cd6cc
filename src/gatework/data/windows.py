"""Windows of a panel as batches of tensors, gathered when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gatework.data import almanac
from gatework.data.frequency import Bools, Ints
from gatework.data.panel import Float32s, Panel
from gatework.data.scales import Scales
from gatework.data.values import Covariate

Batch = dict[str, Tensor]


class Windows:
    """Batches of windows with `context` rows of the past and `horizon` target rows.

    A window that reaches back before its series began repeats the first row there, with `past_observed` False.

    Args:
        panel: the series; memory beyond it is one float32 copy, with C rows more for each series.
        context: rows of the past, C.
        horizon: target rows, H.
        train_ends: int64 [N], absolute rows: statistics of the covariates are taken from rows before these only
            (default: the series' ends).
        scales: give past and target as (value - shift) / scale of their series, in float64 before rounding.
        statistics: means and deviations of the covariates from a fit, to be used instead of own ones.

    Attributes:
        statistics: means and deviations in use, float32 tensors by name; store them with the model.
        widths: the number of features: "past" P, "future" F (calendar included), "static" S.
        future_names: the F features, covariates first.
    """

    def __init__(
        self,
        panel: Panel,
        context: int,
        horizon: int,
        *,
        train_ends: Ints | None = None,
        scales: Scales | None = None,
        statistics: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.panel, self.context, self.horizon = panel, context, horizon
        schema, ends = panel.schema, panel.ends if train_ends is None else train_ends
        row_series = panel.row_series
        seen = np.arange(len(row_series)) < ends[row_series]
        own = {
            **_statistics("past", panel.past[seen], schema.past),
            **_statistics("future", panel.future[seen], schema.future),
            **_statistics("static", panel.static, schema.static),
        }
        self.statistics: dict[str, Tensor] = own if statistics is None else {key: statistics[key] for key in own}
        values = panel.values
        if scales is not None:
            values = (values - scales.shift[row_series]) / scales.scale[row_series]
        calendar = almanac.features(panel.times, schema.calendar, None if schema.wall else schema.zone)
        self.future_names = [*schema.future_names, *almanac.feature_names(schema.calendar)]

        # `context` copies of its first row stand before each series, so that every window is one run of rows
        lengths = np.diff(panel.offsets)
        starts = panel.offsets[:-1] + context * np.arange(len(panel))
        offset = np.arange(len(row_series) + context * len(panel)) - np.repeat(starts, lengths + context) - context
        rows = np.repeat(panel.offsets[:-1], lengths + context) + np.maximum(offset, 0)
        future = np.concatenate([self._standardised("future", panel.future), calendar], axis=1)
        self._starts, self._lengths = torch.from_numpy(starts), torch.from_numpy(lengths)
        self._values = _runs(np.nan_to_num(values, nan=0.0).astype(np.float32)[rows], context + horizon)
        self._observed = _runs(panel.observed[rows] & (offset >= 0), context + horizon)
        self._past = _runs(self._standardised("past", panel.past)[rows], context)
        self._future = _runs(future[rows], context + horizon)
        self._static = torch.from_numpy(self._standardised("static", panel.static))
        self._codes = torch.from_numpy(panel.codes)
        self.widths = {"past": panel.past.shape[1], "future": future.shape[1], "static": panel.static.shape[1]}

    def batch(self, series: Tensor, origins: Tensor) -> Batch:
        """The windows at `origins` of `series`.

        Args:
            series: long [B].
            origins: long [B], positions in the series of the first target row; all target rows must be there, so
                a panel to forecast is given rows by `Panel.extend` first.

        Returns:
            past [B, C] float32, filled where missing | past_observed [B, C] bool | past_covariates [B, C, P] |
            future_covariates [B, C + H, F] | static [B, S] | series [B] long, the position among the ids of the fit |
            target [B, H], 0 where missing | target_observed [B, H] bool.
        """
        if bool(((origins < 0) | (origins + self.horizon > self._lengths[series])).any()):
            raise IndexError("a window reaches beyond the rows of its series")
        count, context, width = len(series), self.context, self.context + self.horizon
        begin = self._starts[series] + origins  # the row `context` before the origin, in the padded rows
        values, observed = self._values.index_select(0, begin), self._observed.index_select(0, begin)
        return {
            "past": values[:, :context],
            "past_observed": observed[:, :context],
            "past_covariates": self._past.index_select(0, begin).view(count, context, self.widths["past"]),
            "future_covariates": self._future.index_select(0, begin).view(count, width, self.widths["future"]),
            "static": self._static.index_select(0, series),
            "series": self._codes.index_select(0, series),
            "target": values[:, context:] * observed[:, context:],
            "target_observed": observed[:, context:],
        }

    def _standardised(self, kind: str, values: Float32s) -> Float32s:
        mean, deviation = (self.statistics[f"{kind}_{name}"].numpy() for name in ("mean", "deviation"))
        return np.asarray(np.nan_to_num((values - mean) / deviation, nan=0.0))  # an unknown value becomes the mean


def _runs(rows: NDArray[Any], length: int) -> Tensor:
    """Every run of `length` rows as one row of a view [runs, length * features]: selecting copies memory blocks."""
    tensor = torch.from_numpy(np.ascontiguousarray(rows))
    features = tensor.shape[1] if tensor.ndim == 2 else 1
    return tensor.as_strided((max(len(rows) - length + 1, 0), length * features), (features, 1))


def _statistics(kind: str, values: Float32s, covariates: tuple[Covariate, ...]) -> dict[str, Tensor]:
    """Mean and deviation of each feature, float32; 0 and 1 for the levels of categories, and 1 where nothing varies."""
    numeric: Bools = np.array([c.levels is None for c in covariates for _ in c.features], dtype=bool)
    mean, deviation = np.zeros(values.shape[1]), np.ones(values.shape[1])
    for feature in np.flatnonzero(numeric):
        known = values[:, feature].astype(np.float64)
        known = known[~np.isnan(known)]
        if len(known):
            mean[feature] = known.mean()
            deviation[feature] = known.std() if known.std() > 1e-12 * abs(known.mean()) else 1.0
    return {
        f"{kind}_mean": torch.from_numpy(mean.astype(np.float32)),
        f"{kind}_deviation": torch.from_numpy(deviation.astype(np.float32)),
    }
