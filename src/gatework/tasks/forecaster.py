"""Forecasting: one series or many, with covariates, as quantiles that hold what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from gatework.errors import InputError
from gatework.say import say
from gatework.tasks.base import Task, TaskConfig
from gatework.tasks.forecasting.columns import Columns
from gatework.tasks.forecasting.settings import Network
from gatework.train.settings import Training

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gatework.data import Panel
    from gatework.tasks.evaluation import Evaluation
    from gatework.tasks.forecasting.backtest import Backtest
    from gatework.tasks.forecasting.fitted import Fitted
    from gatework.train.problem import Problem


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
    seasons: tuple[int, ...] | Literal["auto"] = Field(
        default="auto", description="seasons the network looks back to, in rows; auto = the season, and a week of days"
    )
    decoder: Literal["direct", "recursive"] = Field(
        default="direct",
        description="direct = all steps at once; recursive = a season at a time, each from the forecasts before it",
    )
    holdout: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="horizons held out at the end of each series to stop early, score and calibrate; none = 1 to 3",
    )
    columns: Columns = Columns()
    model: Network = Network()
    training: Training = Training(keep="last")

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
    config_: ForecasterConfig
    fitted_: Fitted

    def read(self, data: Any, validation: Any = None) -> Panel:
        """The series, long enough to train on."""
        from gatework.cells import find
        from gatework.tasks.forecasting.choices import LEAST_PAST, without_calendar

        config = self.config_
        find(config.model.cell)
        what = f"horizon {config.horizon} + {LEAST_PAST} of the past"
        panel = config.columns.read(data).check_length(config.horizon + LEAST_PAST, what, config.columns.drop_short)
        longest = int(panel.lengths.max())
        if config.context != "auto" and config.context + config.horizon > longest:
            raise InputError(
                f"context {config.context} + horizon {config.horizon} is more than the {longest} rows of the longest "
                "series, so no window would be full. Expected less; give a smaller context, or leave it at auto."
            )
        return without_calendar(panel, config.horizon)

    def decide(self, dataset: Panel) -> ForecasterConfig:
        """The settings that the data decide."""
        from gatework.tasks.forecasting.choices import choose

        return choose(self.config_, dataset)

    def problem(self, dataset: Panel, seed: int, whole: bool) -> Problem:
        """Windows drawn at random from before the held-out part, scored by forecasting that; or from everywhere."""
        import torch

        from gatework.data import Sampler, Scales, Windows
        from gatework.nn.forecast import forecast_loss
        from gatework.tasks.forecasting.choices import parts
        from gatework.tasks.forecasting.fitted import Fitted, block
        from gatework.train.problem import Problem

        config, split = self.config_, parts(self.config_, dataset, whole)
        statistics = self.fitted_.statistics if whole else None
        windows = Windows(
            dataset, int(config.context), block(config), train_ends=split.train_ends, statistics=statistics
        )
        if not whole:
            self.fitted_ = Fitted.of(config, windows)
        size, steps = config.training.batch_size or 1, config.training.steps_per_epoch or 1
        sampler = Sampler(split.train, size, size * steps, seed, balance="root")

        scale = None if config.model.log else torch.from_numpy(Scales.of(dataset, split.train_ends).scale).float()

        def batch(numbers: Tensor) -> dict[str, Tensor]:
            series, origins = split.train.locate(numbers)
            own = {} if scale is None else {"scale": scale[series]}
            return {**windows.batch(series, origins), **own}

        def validate(net: nn.Module) -> dict[str, float]:
            return {"scaled_loss": self.fitted_.backtest([net], windows, split.holdout).scaled_loss()}

        return Problem(
            self.fitted_.network(),
            forecast_loss,
            sampler,
            batch,
            validate if len(split.holdout) else None,
            "scaled_loss",
            "windows",
        )

    def conclude(self, dataset: Panel) -> Evaluation | None:
        """Calibrate on the held-out windows and score them."""
        from gatework.tasks.forecasting.choices import parts
        from gatework.tasks.forecasting.intervals import Calibration

        config = self.config_
        index = parts(config, dataset).holdout
        if not len(index):
            say("nothing is held out (short series, or holdout is 0): no score, and the quantiles are not calibrated")
            return None
        held = self.fitted_.backtest(self.nets_, self.fitted_.windows(dataset), index)
        if config.calibrate:
            calibration = Calibration.of(held.truth, held.quantiles, config.levels)
            self.fitted_.calibration = calibration
            held = replace(held, quantiles=calibration.apply(held.quantiles))
            count = calibration.samples
            say(f"quantiles calibrated on {count} held-out values" if count else "too few held-out values to calibrate")
        return held.evaluation(
            f"held-out end: {len(index)} forecasts of {config.horizon} steps (also used to calibrate)"
        )

    def predict(self, data: Any, future: Any = None) -> Any:
        """Forecast the `horizon` steps after the end of every series.

        Args:
            data: the history, as a frame or a path, with the columns of `fit`; series that were not there are welcome.
            future: future covariates of the steps to forecast; or give them as rows of `data` without a target.

        Returns:
            A frame of the kind of `data` (pandas for a path): unique_id, ds, y_hat (the median), mean, q10 ... q90.

        Raises:
            InputError: columns or covariates are missing, the frequency differs, the values cannot be read.
        """
        import torch

        from gatework.data import last, to_frame
        from gatework.tasks.forecasting.backtest import forecast_columns

        self.check_trained()
        config, fitted = self.config_, self.fitted_
        panel = fitted.schema.read(data, future).extend(config.horizon)
        series, origins = (place.numpy() for place in last(panel).locate(torch.arange(len(panel))))
        quantiles = fitted.quantiles(self.nets_, fitted.windows(panel), series, origins)
        return to_frame(panel, forecast_columns(quantiles, config.levels, config.quantiles), series, origins)

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
        count, names, horizon = len(backtest.series), len(set(backtest.series.tolist())), self.config_.horizon
        title = f"backtest: {count} forecasts of {horizon} steps, {names} series, {windows} windows each at most"
        return self.record_evaluation(backtest.evaluation(title))

    def backtest(self, data: Any, windows: int = 5, step: int | None = None) -> Backtest:
        """The forecasts and truths behind `evaluate`, as arrays."""
        from gatework.data import rolling

        self.check_trained()
        for name, value in (("windows", windows), ("step", 1 if step is None else step)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}; expected a whole number, 1 or more.")
        config, fitted = self.config_, self.fitted_
        panel, horizon = fitted.schema.read(data), config.horizon
        panel = panel.check_length(horizon + 1, f"horizon {horizon} + 1 of the past", config.columns.drop_short)
        if panel.data_hash() == (self.run_.facts.get("data") or {}).get("hash"):
            say("these are the data of the training: the scores are those of a model that has seen them")
        return fitted.backtest(self.nets_, fitted.windows(panel), rolling(panel, horizon, windows, step))

    def learned(self) -> dict[str, Any]:
        """Schema, covariate statistics and calibration."""
        return self.fitted_.to_json()

    def restore(self, learned: dict[str, Any]) -> Callable[[], nn.Module]:
        """Take them back; the network follows from settings and widths."""
        from gatework.tasks.forecasting.fitted import Fitted

        self.fitted_ = Fitted.from_json(learned, self.config_)
        return self.fitted_.network

    @classmethod
    def synthesise(cls, seed: int = 0) -> Any:
        """Series with a season, a trend and covariates, as a pandas frame."""
        from gatework.data import synthesise

        return synthesise(seed=seed)
