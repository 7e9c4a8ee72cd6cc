"""The forecasting network: simple forecasts of each window, mixed and corrected by a recurrent network over segments.

The design takes the seasonal naive forecast as something to start from, not to be learned again: SegRNN's segments
(Lin et al., arXiv:2308.11200) keep the recurrence short and decode all steps in parallel; per-window normalisation and
quantile loss follow the M4 winner (Smyl, Int. J. Forecasting 36, 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gatework.cells import Cell
from gatework.errors import InputError
from gatework.nn.recipe import Centre
from gatework.nn.recurrent import Recurrent

Batch = dict[str, Tensor]

_SUMMARY = 3  # numbers that describe a normalised window: roughness, spread, mean
_SHARPNESS = 3.0  # of the mixture: lets its weights move as far in a short training as the other parameters do
_FLOOR = 1e-5  # least scale of a window, as a share of its size; a flat window must not blow its noise up


class Window(NamedTuple):
    """A batch of windows in their own units.

    Attributes:
        values: [B, C], (past - centre) / scale, 0 where nothing was observed.
        observed: [B, C], 1.0 or 0.0.
        centre: [B, 1], the level: mean of what was observed last.
        scale: [B, 1], standard deviation of the observed past, > 0.
    """

    values: Tensor
    observed: Tensor
    centre: Tensor
    scale: Tensor

    @classmethod
    def of(cls, past: Tensor, observed: Tensor, rows: int) -> Window:
        """Normalise `past` [B, C] where `observed` [B, C] (bool), around the mean of the last `rows` rows."""
        seen = observed.to(past.dtype)
        past = torch.where(observed, past, 0.0)
        mean = _mean(past, seen)
        scale = _mean((past - mean).square(), seen).sqrt() + _FLOOR * _mean(past.abs(), seen).clamp_min(1.0e-3)
        recent = seen[:, -rows:]
        centre = torch.where(recent.any(1, keepdim=True), _mean(past[:, -rows:], recent), _last(past, seen))
        return cls((past - centre) / scale * seen, seen, centre, scale)

    def summary(self) -> Tensor:
        """What normalising hides, [B, 3]: log roughness, log spread and squashed mean of the values."""
        steps = (self.values[:, 1:] - self.values[:, :-1]).abs()
        rough = _mean(steps, self.observed[:, 1:] * self.observed[:, :-1])
        mean = _mean(self.values, self.observed)
        spread = _mean((self.values - mean).square(), self.observed).sqrt()
        return torch.cat([(rough + _FLOOR).log(), (spread + _FLOOR).log(), (mean / 3).tanh()], 1)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of each row, [B, 1]; 0 where no weight is set."""
    return (values * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True).clamp_min(1.0)


def _last(values: Tensor, seen: Tensor) -> Tensor:
    """The last value of each row that was observed, [B, 1]; the first of the row where none was."""
    place = (seen * torch.arange(1, seen.shape[1] + 1, device=seen.device)).argmax(1, keepdim=True)
    return values.gather(1, place)


def anchors(window: Window, seasons: Sequence[int], steps: int) -> Tensor:
    """Forecasts that need no learning, in the window's units.

    Args:
        window: of C rows.
        seasons: periods m in rows, each 1 < m <= C.
        steps: rows to forecast, >= 1.

    Returns:
        [B, steps, 1 + 4 * len(seasons)]: the last observed value; for each season the seasonal naive forecast, the same
        moved by the change of the level over a whole season and over its last quarter, and the mean cycle of the
        window on the level of the last cycle.
    """
    z, seen = window.values, window.observed
    B, C = z.shape
    ahead = torch.arange(steps, device=z.device)
    columns = [_last(z, seen).expand(B, steps)]
    for m in seasons:
        phase = ahead % m
        naive = z[:, C - m + phase]
        cycles = C // m
        folded, weight = (part[:, C - cycles * m :].view(B, cycles, m) for part in (z, seen))
        level = (folded * weight).sum(2, keepdim=True) / weight.sum(2, keepdim=True).clamp_min(1.0)
        shape = ((folded - level) * weight).sum(1) / weight.sum(1).clamp_min(1.0)
        profile = shape[:, phase] + level[:, -1]
        columns += [naive, naive + _change(window, m, m), naive + _change(window, m, max(1, m // 4)), profile]
    return torch.stack(columns, 2)


def _change(window: Window, season: int, rows: int) -> Tensor:
    """Mean change [B, 1] of the last `rows` values against those a season before; 0 where the window is too short."""
    z, seen = window.values, window.observed
    rows = min(rows, z.shape[1] - season)
    if rows < 1:
        return z.new_zeros(len(z), 1)
    now, before = slice(-rows, None), slice(-rows - season, -season)
    return _mean(z[:, now] - z[:, before], seen[:, now] * seen[:, before])


def segment_length(context: int, horizon: int, seasons: Sequence[int]) -> int:
    """Rows of a segment: the shortest season, or a whole part or multiple of it that is neither tiny nor long."""
    if not seasons:
        return max(1, min(horizon, 32, context))
    season = min(seasons)
    if season < 6:
        season *= -(-6 // season)
    elif season > 32:
        season = -(-season // -(-season // 16))
    return min(season, context)


class ForecastNet(nn.Module):
    """Quantile forecasts of a window: a mixture of its `anchors` and a learned correction.

    The window is normalised by its own mean and deviation, so that one network serves series of any size. A recurrent
    encoder reads it in segments; a decoder takes one step from the encoder's state for each segment to come, all at
    once, and gives weights for the anchors and corrections to them for every row and level.

    Args:
        context: rows of the past C, >= 1.
        horizon: rows to forecast, >= 1.
        levels: quantile levels Q, each in 0..1, increasing.
        seasons: periods in rows; those longer than the context are refused.
        past_width, future_width, static_width: number of covariates of each kind, P, F, S; the values should be
            standardised.
        cell: recurrent cell, by name or class.
        hidden_size: units H of the cell.
        num_layers: recurrent layers, with residual connections.
        dropout: probability in 0..1, in training.
        segment: rows of a segment, default `segment_length`.
        log: work on logarithms: for positive data whose swings grow with their level. Raises InputError in `forward`
            for observed values <= 0.
        centre: what a window is centred on: the mean of its last (shortest) season, or its last value where there is
            no season; the mean of it all; or the last value.

    Raises InputError for sizes out of range.
    """

    levels: Tensor

    def __init__(
        self,
        context: int,
        horizon: int,
        levels: Sequence[float],
        seasons: Sequence[int] = (),
        past_width: int = 0,
        future_width: int = 0,
        static_width: int = 0,
        cell: str | type[Cell] = "lstm",
        hidden_size: int = 128,
        num_layers: int = 1,
        dropout: float = 0.1,
        segment: int | None = None,
        log: bool = False,
        centre: Centre = "season",
    ) -> None:
        super().__init__()
        self.seasons = tuple(sorted({m for m in seasons if m > 1}))
        if context < 1 or horizon < 1:
            raise InputError(f"context is {context} and horizon {horizon}; expected 1 or more of both.")
        if self.seasons and self.seasons[-1] > context:
            raise InputError(
                f"a season of {self.seasons[-1]} rows is longer than the context of {context}; lengthen it."
            )
        self.context, self.horizon, self.log = context, horizon, log
        self.level = {"season": min(self.seasons, default=1), "mean": context, "last": 1}[centre]
        self.segment = segment_length(context, horizon, self.seasons) if segment is None else segment
        self.read_segments, self.write_segments = -(-context // self.segment), -(-horizon // self.segment)
        self.register_buffer("levels", torch.tensor(list(levels)), persistent=False)

        K, Q = 1 + 4 * len(self.seasons), len(levels)
        described = _SUMMARY + static_width
        self.read_in = nn.Linear(self.segment * (2 + past_width + future_width) + described, hidden_size)
        self.write_in = nn.Linear(self.segment * (K - 1 + future_width) + described, hidden_size)
        self.position = nn.Parameter(0.3 * torch.randn(self.write_segments, hidden_size))
        self.readers = nn.ModuleList(_layer(cell, hidden_size) for _ in range(num_layers))
        self.writers = nn.ModuleList(_layer(cell, hidden_size) for _ in range(num_layers))
        self.dropout = nn.Dropout(dropout)
        self.weights = nn.Linear(hidden_size, self.segment * K)
        self.correction = nn.Linear(hidden_size, self.segment * Q)
        self._start_near_anchors(Q)

    @torch.no_grad()
    def _start_near_anchors(self, Q: int) -> None:
        """Begin with equal weights, small corrections and a narrow fan of quantiles."""
        self.weights.weight.mul_(0.1)
        self.weights.bias.zero_()
        self.correction.weight.mul_(0.1)
        self.correction.bias.copy_((0.2 * (self.levels - 0.5)).repeat(self.segment))

    def forward(self, batch: Batch, scaled: bool = False) -> Any:
        """Forecast a batch of windows.

        Args:
            batch: past [B, C] float, past_observed [B, C] bool; past_covariates [B, C, P], future_covariates
                [B, C + horizon, F] and static [B, S] where the network was built for them.
            scaled: for the loss: return the quantiles and the scaled target instead.

        Returns:
            quantiles [B, horizon, Q] in the units of `past` (not sorted: levels may cross); or, scaled, those in the
            window's units (of logarithms with `log`), the target [B, horizon] likewise, and the unit's size [B, 1].
        """
        past = self._values(batch["past"], batch["past_observed"])
        window = Window.of(past, batch["past_observed"], self.level)
        B, S = len(past), self.segment
        described = torch.cat([window.summary(), *([batch["static"]] if "static" in batch else [])], 1)
        states = self._read(window, batch, described)

        M = self.write_segments
        bases = anchors(window, self.seasons, M * S)  # [B, M * S, K]
        hidden = self.dropout(self._write(states, bases, batch, described))  # [B, M, H]
        mixture = (_SHARPNESS * self.weights(hidden)).view(B, M * S, -1).softmax(-1)
        middle = (mixture * bases).sum(-1, keepdim=True)  # [B, M * S, 1]
        quantiles = (middle + self.correction(hidden).view(B, M * S, -1))[:, : self.horizon]
        if scaled:
            target = self._values(batch["target"], batch["target_observed"])
            return quantiles, (target - window.centre) / window.scale, window.scale
        quantiles = quantiles * window.scale[..., None] + window.centre[..., None]
        return quantiles.exp() if self.log else quantiles

    def _values(self, values: Tensor, observed: Tensor) -> Tensor:
        if not self.log:
            return values
        if bool(((values <= 0) & observed).any()):
            raise InputError(
                f"the series has values <= 0 (least {values[observed].min().item():g}), but this model was trained on "
                "positive data and works on logarithms; correct them, or train again with such data."
            )
        return torch.where(observed, values, 1.0).log()

    def _read(self, window: Window, batch: Batch, described: Tensor) -> list[Any]:
        """The encoder's final states, one for each layer."""
        B, N = len(described), self.read_segments
        rows = [window.values.asinh()[..., None], window.observed[..., None]]
        rows += [batch[name][:, : self.context] for name in ("past_covariates", "future_covariates") if name in batch]
        features = torch.cat(rows, 2)
        features = functional.pad(features, (0, 0, N * self.segment - self.context, 0)).view(B, N, -1)
        hidden = self.read_in(torch.cat([features, described[:, None].expand(B, N, -1)], 2)).relu()
        states = []
        for layer in self.readers:
            output, state = layer(self.dropout(hidden))
            hidden = hidden + output
            states.append(state)
        return states

    def _write(self, states: list[Any], bases: Tensor, batch: Batch, described: Tensor) -> Tensor:
        """One step from the encoder's states for each segment to come, [B, M, H]; segments do not see each other."""
        B, M = len(described), self.write_segments
        rows = [bases[..., 1:].asinh()]
        if "future_covariates" in batch:
            coming = batch["future_covariates"][:, self.context :]
            rows.append(functional.pad(coming, (0, 0, 0, M * self.segment - self.horizon)))
        features = torch.cat(rows, 2).view(B, M, -1)
        hidden: Tensor = self.write_in(torch.cat([features, described[:, None].expand(B, M, -1)], 2)) + self.position
        hidden = hidden.relu().view(B * M, 1, -1)
        for layer, state in zip(self.writers, states, strict=True):
            start = _repeat(state, M)
            hidden = hidden + layer(self.dropout(hidden), start)[0]
        return hidden.view(B, M, -1)


def _layer(cell: str | type[Cell], hidden_size: int) -> Recurrent:
    return Recurrent(cell, hidden_size, hidden_size, batch_first=True)


def _repeat(state: Any, times: int) -> Any:
    """A state, or a tuple of states, [1, B, H] -> [1, B * times, H]."""
    if isinstance(state, Tensor):
        return state.repeat_interleave(times, 1)
    return tuple(part.repeat_interleave(times, 1) for part in state)


def forecast_loss(net: nn.Module, batch: Batch) -> Tensor:
    """Mean quantile loss over levels and observed targets.

    Errors count in the window's units; or, where the batch has `scale` [B], the deviation of each window's series in
    the units of `past`, in units of the series: a quiet window then weighs less than a lively one of the same series.
    """
    quantiles, target, unit = net(batch, scaled=True)
    levels = getattr(net, "module", net).get_buffer("levels")  # Fabric wraps the network
    error = target[..., None] - quantiles
    loss = torch.maximum(levels * error, (levels - 1) * error).mean(-1) * 2  # [B, horizon]
    if "scale" in batch:
        loss = loss * (unit / batch["scale"][:, None])
    seen = batch["target_observed"].to(loss.dtype)
    return (loss * seen).sum() / seen.sum().clamp_min(1.0)
