"""What a forecaster knows beside its weights: columns, covariates' statistics, calibration; and how to run them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gatework.data import Panel, Schema, WindowIndex, Windows
from gatework.nn.forecast import ForecastNet
from gatework.tasks.forecasting.backtest import Array, Backtest, Ints
from gatework.tasks.forecasting.intervals import Calibration
from gatework.tasks.forecasting.rollout import forecast

if TYPE_CHECKING:
    from gatework.tasks.forecaster import ForecasterConfig


@dataclass
class Fitted:
    """Everything a forecaster's networks need around them.

    Attributes:
        config: with nothing left open.
        schema: what the columns mean.
        statistics: means and deviations of the covariates.
        widths: number of features of each kind.
        calibration: of the quantiles.
    """

    config: ForecasterConfig
    schema: Schema
    statistics: Mapping[str, Tensor]
    widths: Mapping[str, int]
    calibration: Calibration

    @classmethod
    def of(cls, config: ForecasterConfig, windows: Windows) -> Fitted:
        """From the windows of the training part."""
        uncalibrated = Calibration.none(config.levels, config.horizon)
        return cls(config, windows.panel.schema, windows.statistics, windows.widths, uncalibrated)

    def network(self) -> nn.Module:
        """An untrained network for these series."""
        model = self.config.model
        return ForecastNet(
            int(self.config.context),
            block(self.config),
            self.config.levels,
            tuple(self.config.seasons),  # type: ignore[arg-type]  # decided: no longer "auto"
            past_width=self.widths["past"],
            future_width=self.widths["future"],
            static_width=self.widths["static"],
            cell=model.cell,
            hidden_size=model.hidden_size or 1,
            num_layers=model.num_layers,
            dropout=model.dropout,
            segment=None if model.segment == "auto" else model.segment,
            log=bool(model.log),
            centre="mean" if model.centre == "auto" else model.centre,
        )

    def windows(self, panel: Panel) -> Windows:
        """Windows of other rows of these series, or of other series with these columns."""
        return Windows(panel, int(self.config.context), block(self.config), statistics=self.statistics)

    def quantiles(self, nets: Iterable[nn.Module], windows: Windows, series: Ints, origins: Ints) -> Array:
        """Calibrated quantiles [W, H, Q] of the windows at `origins` of `series`, averaged over `nets`."""
        config = self.config
        return self.calibration.apply(forecast(nets, windows, series, origins, config.horizon, config.levels))

    def backtest(self, nets: Iterable[nn.Module], windows: Windows, index: WindowIndex) -> Backtest:
        """Calibrated forecasts of every window of `index`, beside the truth and the seasonal naive forecast."""
        nets, config = list(nets), self.config

        def run(series: Ints, origins: Ints) -> Array:
            return self.quantiles(nets, windows, series, origins)

        return Backtest.of(windows.panel, index, config.horizon, config.levels, run)

    def to_json(self) -> dict[str, Any]:
        """As JSON; the settings are kept elsewhere."""
        return {
            "schema": self.schema.to_json(),
            "statistics": {name: values.tolist() for name, values in self.statistics.items()},
            "widths": dict(self.widths),
            "calibration": self.calibration.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], config: ForecasterConfig) -> Fitted:
        """What `to_json` gave; ValueError, KeyError or TypeError when it is not that."""
        return cls(
            config,
            Schema.from_json(value["schema"]),
            {str(name): torch.tensor(values) for name, values in value["statistics"].items()},
            {kind: int(value["widths"][kind]) for kind in ("past", "future", "static")},
            Calibration.from_json(value["calibration"], config.levels, config.horizon),
        )


def block(config: ForecasterConfig) -> int:
    """Steps the network forecasts at once: all, or a season of them."""
    if config.decoder == "direct":
        return config.horizon
    return min(config.horizon, config.columns.season or 1)
