"""Forecasting: one series or many, with covariates, as quantiles that hold what they say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gatework.errors import InputError
from gatework.say import say
from gatework.tasks.base import Task, TaskConfig
from gatework.tasks.columns import Columns
from gatework.train.settings import Training

if TYPE_CHECKING:
    from torch import nn

    from gatework.data import Panel, WindowIndex, Windows
    from gatework.tasks.backtest import Array, Backtest, Ints
    from gatework.tasks.evaluation import Evaluation
    from gatework.tasks.intervals import Calibration
    from gatework.train.problem import Problem


class Network(BaseModel):
    """The network's shape."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: str = Field(default="lstm", description="recurrent cell, by its name in the catalogue (`gatework cells`)")
    hidden_size: int = Field(default=64, ge=1, le=4096, description="units of a layer")
    num_layers: int = Field(default=1, ge=1, le=16, description="recurrent layers")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="share of values dropped between layers in training")


class ForecasterConfig(TaskConfig):
    """Settings of the forecaster."""

    horizon: int = Field(
        default=24, ge=1, le=10_000, description="steps to forecast", json_schema_extra={"unit": "rows"}
    )
    context: Annotated[int, Field(ge=2, le=100_000)] | Literal["auto"] = Field(
        default="auto",
        description="rows of the past the network sees; auto = from season and horizon",
        json_schema_extra={"unit": "rows"},
    )
    preset: Literal["good", "fast", "best"] = Field(
        default="good", description="how much time to spend: fast, good or best"
    )
    quantiles: tuple[float, ...] = Field(
        default=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        description="levels to forecast, each above 0 and below 1",
    )
    calibrate: bool = Field(
        default=True, description="stretch the quantiles until they hold on the held-out part what they say"
    )
    decoder: Literal["direct", "recursive"] = Field(
        default="direct",
        description="direct = all steps at once; recursive = a season at a time, each from the forecasts before it",
    )
    holdout: int = Field(
        default=1,
        ge=0,
        le=1000,
        description="horizons held out at the end of each series for early stopping, scores and calibration",
    )
    columns: Columns = Columns()
    model: Network = Network()
    training: Training = Training(max_epochs=30)

    @field_validator("quantiles")
    @classmethod
    def _levels(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not levels or not all(0 < level < 1 for level in levels):
            raise ValueError("every level must be above 0 and below 1")
        return tuple(sorted({round(level, 6) for level in levels}))

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels the network forecasts: those wanted, and the median."""
        return tuple(sorted({*self.quantiles, 0.5}))


class Forecaster(Task):
    """Forecasts one or many series, with or without covariates, as calibrated quantiles.

    model = Forecaster(horizon=24).fit("load.csv")
    forecast = model.predict("load.csv")            # unique_id, ds, y_hat, q10 ... q90
    print(model.evaluate("load.csv", windows=5))    # beside the seasonal naive forecast

    Every setting of `ForecasterConfig` is a keyword; `gatework config forecaster` lists them.
    """

    Config = ForecasterConfig
    presets = {
        "good": {},
        "fast": {"max_epochs": 8, "hidden_size": 32},
        "best": {"max_epochs": 60, "members": 3},
    }
    config_: ForecasterConfig

    def read(self, data: Any) -> Panel:
        """The series, long enough to train on."""
        from gatework.cells import find

        config = self.config_
        find(config.model.cell)
        panel = config.columns.read(data)
        least = 2 if config.context == "auto" else config.context
        why = f"horizon {config.horizon} + {least} of the past"
        return panel.check_length(config.horizon + least, why, config.columns.drop_short)

    def decide(self, dataset: Panel) -> ForecasterConfig:
        """Context from season, horizon and the series' lengths; how much can be held out."""
        config, season = self.config_, dataset.schema.season
        longest = int(dataset.lengths.max())
        context = config.context
        if context == "auto":
            context = max(2, min(max(3 * season, 2 * config.horizon), longest - config.horizon))
            say(f"context: {context} rows (season {season}, horizon {config.horizon}, longest series {longest})")
        columns = config.columns.model_copy(update={"season": season})
        return config.model_copy(update={"context": context, "columns": columns})

    def problem(self, dataset: Panel, seed: int) -> Problem:
        """Windows drawn at random from before the held-out part; scored by forecasting that."""
        from gatework.data import Sampler, Windows, split
        from gatework.nn.forecast import forecast_loss
        from gatework.train.problem import Problem

        config = self.config_
        parts = split(dataset, config.horizon, windows=config.holdout)
        windows = Windows(dataset, self._context, self._block, train_ends=parts.train_ends)
        self.schema_, self.statistics_, self.widths_ = dataset.schema, windows.statistics, windows.widths
        training = config.training
        per_epoch = training.steps_per_epoch * training.batch_size if training.steps_per_epoch else None
        sampler = Sampler(parts.train, training.batch_size, per_epoch, seed)

        def validate(net: nn.Module) -> dict[str, float]:
            return {"scaled_loss": self._backtest(windows, parts.holdout, [net]).scaled_loss()}

        return Problem(
            self._network(),
            forecast_loss,
            sampler,
            lambda numbers: windows.batch(*parts.train.locate(numbers)),
            validate if len(parts.holdout) else None,
            "scaled_loss",
            "windows",
        )

    def conclude(self, dataset: Panel) -> Evaluation | None:
        """Calibrate on the held-out windows and score them."""
        from gatework.data import split
        from gatework.tasks.intervals import Calibration

        config = self.config_
        self.calibration_ = Calibration.none(config.levels, config.horizon)
        index = split(dataset, config.horizon, windows=config.holdout).holdout
        if not len(index):
            say("nothing is held out (short series, or holdout is 0): no score, and the quantiles are not calibrated")
            return None
        raw = self._backtest(self._windows(dataset), index, self.nets_)
        if config.calibrate:
            self.calibration_ = Calibration.of(raw.truth, raw.quantiles, config.levels)
            count = self.calibration_.samples
            say(f"quantiles calibrated on {count} held-out values" if count else "too few held-out values to calibrate")
        held = replace(raw, quantiles=self.calibration_.apply(raw.quantiles))
        return held.evaluation(
            f"held-out end: {len(index)} forecasts of {config.horizon} steps (also used to calibrate)"
        )

    def predict(self, data: Any, future: Any = None) -> Any:
        """Forecast the `horizon` steps after the end of every series.

        Args:
            data: the history, as a frame or a path, with the columns of `fit`; series that were not there are welcome.
            future: future covariates of the steps to forecast; or give them as rows of `data` without a target.

        Returns:
            A frame of the kind of `data` (pandas for a path): unique_id, ds, y_hat (the median), q10 ... q90.

        Raises:
            InputError: columns or covariates are missing, the frequency differs, the values cannot be read.
        """
        import torch

        from gatework.data import last, to_frame
        from gatework.tasks.backtest import forecast_columns
        from gatework.tasks.rollout import forecast

        self.check_trained()
        panel = self.schema_.read(data, future).extend(self.config_.horizon)
        series, origins = (place.numpy() for place in last(panel).locate(torch.arange(len(panel))))
        quantiles = forecast(
            self.nets_, self._windows(panel), series, origins, self.config_.horizon, self.config_.levels
        )
        columns = forecast_columns(self.calibration_.apply(quantiles), self.config_.levels, self.config_.quantiles)
        return to_frame(panel, columns, series, origins)

    def evaluate(self, data: Any, windows: int = 5, step: int | None = None) -> Evaluation:
        """Backtest: forecast the last `windows` origins of every series from what came before each, and score it.

        Args:
            data: as for `predict`, with the truth.
            windows: origins a series; a short series has fewer.
            step: rows between origins; None = the horizon, so that windows do not overlap.

        Returns:
            MAE, RMSE, sMAPE, MASE, quantile loss and coverage beside the seasonal naive forecast's; also saved, with
            plots, in the run's evaluations/.
        """
        backtest = self.backtest(data, windows, step)
        count, names = len(backtest.series), len(set(backtest.series.tolist()))
        horizon = self.config_.horizon
        title = f"backtest: {count} forecasts of {horizon} steps, {names} series, {windows} windows each at most"
        return self.keep(backtest.evaluation(title))

    def backtest(self, data: Any, windows: int = 5, step: int | None = None) -> Backtest:
        """The forecasts and truths behind `evaluate`, as arrays."""
        from gatework.data import rolling

        self.check_trained()
        for name, value in (("windows", windows), ("step", 1 if step is None else step)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}; expected a whole number, 1 or more.")
        panel = self.schema_.read(data)
        horizon = self.config_.horizon
        panel = panel.check_length(horizon + 1, f"horizon {horizon} + 1 of the past", self.config_.columns.drop_short)
        if panel.data_hash() == (self.run_.facts.get("data") or {}).get("hash"):
            say(
                f"these are the data of the training: only the last {self.config_.holdout} x {horizon} rows "
                "were held out of it"
            )
        return self._backtest(
            self._windows(panel), rolling(panel, horizon, windows, step), self.nets_, self.calibration_
        )

    def learned(self) -> dict[str, Any]:
        """Schema, covariate statistics and calibration."""
        return {
            "schema": self.schema_.to_json(),
            "statistics": {name: values.tolist() for name, values in self.statistics_.items()},
            "widths": self.widths_,
            "calibration": self.calibration_.to_json(),
        }

    def restore(self, learned: dict[str, Any]) -> Callable[[], nn.Module]:
        """Take them back; the network follows from settings and widths."""
        import torch

        from gatework.data import Schema
        from gatework.tasks.intervals import Calibration

        self.schema_ = Schema.from_json(learned["schema"])
        self.statistics_ = {name: torch.tensor(values) for name, values in learned["statistics"].items()}
        self.widths_ = {kind: int(learned["widths"][kind]) for kind in ("past", "future", "static")}
        self.calibration_ = Calibration.from_json(learned["calibration"], self.config_.levels, self.config_.horizon)
        return self._network

    @classmethod
    def synthesise(cls, seed: int = 0) -> Any:
        """Series with a season, a trend and covariates, as a pandas frame."""
        from gatework.data import synthesise

        return synthesise(seed=seed)

    @property
    def _context(self) -> int:
        assert self.config_.context != "auto"
        return self.config_.context

    @property
    def _block(self) -> int:
        """Steps the network forecasts at once: all, or a season of them."""
        if self.config_.decoder == "direct":
            return self.config_.horizon
        return min(self.config_.horizon, self.config_.columns.season or 1)

    def _network(self) -> nn.Module:
        from gatework.nn.forecast import ForecastNet

        config = self.config_
        return ForecastNet(
            self._context,
            self._block,
            config.levels,
            [m for m in [self.config_.columns.season or 1] if 1 < m <= self._context],
            past_width=self.widths_["past"],
            future_width=self.widths_["future"],
            static_width=self.widths_["static"],
            **config.model.model_dump(),
        )

    def _windows(self, panel: Panel) -> Windows:
        from gatework.data import Windows

        return Windows(panel, self._context, self._block, statistics=self.statistics_)

    def _backtest(
        self, windows: Windows, index: WindowIndex, nets: Iterable[nn.Module], calibration: Calibration | None = None
    ) -> Backtest:
        from gatework.tasks.backtest import Backtest
        from gatework.tasks.rollout import forecast

        config = self.config_

        def quantiles(series: Ints, origins: Ints) -> Array:
            values = forecast(nets, windows, series, origins, config.horizon, config.levels)
            return calibration.apply(values) if calibration else values

        return Backtest.of(windows.panel, index, config.horizon, config.levels, quantiles)
