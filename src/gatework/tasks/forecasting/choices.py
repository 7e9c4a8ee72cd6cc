"""What the forecaster decides from the data where a setting is left open; every decision is said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gatework.data import Panel, Split, split
from gatework.nn.recipe import choose as choose_recipe
from gatework.say import say

if TYPE_CHECKING:
    from gatework.tasks.forecaster import ForecasterConfig

LEAST_PAST = 2  # rows before an origin, without which a window says nothing
_FEW = 2000  # held-out values under which windows overlap, for more of them
_CLEARLY_POSITIVE = 0.01  # of a series' mean: the least value that logarithms do not blow up
_NEARLY_ALL = 0.95
_SHORT = 100  # horizons of data in all: the last ones matter so much that training starts again with them


def choose(config: ForecasterConfig, panel: Panel) -> ForecasterConfig:
    """`config` with everything decided: hold-out, context, seasons, logarithms, sizes of network and training."""
    horizon, season = config.horizon, panel.schema.season
    holdout = _holdout(panel, horizon) if config.holdout is None else config.holdout
    given = None if config.context == "auto" else config.context
    lengths = np.maximum(panel.lengths - holdout * horizon, horizon + LEAST_PAST)
    recipe = choose_recipe(lengths.tolist(), horizon, season, given, config.preset)
    context = max(recipe.context, LEAST_PAST)
    seasons = recipe.seasons if config.seasons == "auto" else config.seasons
    model, training = config.model, config.training
    log = _logarithms(panel) if model.log == "auto" else model.log
    steps = recipe.steps if training.max_steps is None and training.max_epochs is None else training.max_steps
    chosen = config.model_copy(
        update={
            "context": context,
            "holdout": holdout,
            "seasons": tuple(m for m in seasons if 1 < m <= context),
            "members": config.members or recipe.members,
            "refit": config.refit or ("afresh" if lengths.sum() < _SHORT * horizon else "further"),
            "columns": config.columns.model_copy(update={"season": season}),
            "model": model.model_copy(
                update={
                    "log": log,
                    "centre": recipe.centre if model.centre == "auto" else model.centre,
                    "hidden_size": model.hidden_size or recipe.hidden_size,
                }
            ),
            "training": training.model_copy(
                update={
                    "batch_size": training.batch_size or recipe.batch_size,
                    "learning_rate": training.learning_rate or recipe.learning_rate,
                    "max_steps": steps,
                    "steps_per_epoch": training.steps_per_epoch or -(-recipe.steps // 4),
                }
            ),
        }
    )
    _say(chosen)
    return chosen


def without_calendar(panel: Panel, horizon: int) -> Panel:
    """`panel`, its calendar left out where there are few horizons of data: a network would learn the few by heart."""
    if not panel.schema.calendar or panel.lengths.sum() >= _SHORT * horizon:
        return panel
    say(f"calendar: left out, fewer than {_SHORT} horizons of data")
    return replace(panel, schema=replace(panel.schema, calendar=()))


def parts(config: ForecasterConfig, panel: Panel, whole: bool = False) -> Split:
    """The windows to train on and those held out; with `whole`, nothing is held out.

    Few series hold out overlapping windows, so that there are more to calibrate and score on.
    """
    horizon, held = config.horizon, config.holdout or 0
    if whole or not held:
        return split(panel, horizon, windows=0, least_past=_least(config))
    step = horizon if len(panel) * held * horizon >= _FEW else max(1, horizon // 4)
    windows = (held - 1) * horizon // step + 1
    return split(panel, horizon, windows=windows, step=step, least_past=_least(config))


def _least(config: ForecasterConfig) -> int:
    """Rows that lie before an origin; what is missing of the context is padding."""
    return max(LEAST_PAST, min(config.horizon, int(config.context)))


def _holdout(panel: Panel, horizon: int) -> int:
    """Horizons to hold out: three of long series, two of middling ones, one of short ones."""
    typical = float(np.median(panel.lengths)) / horizon
    return 3 if typical >= 20 else 2 if typical >= 8 else 1


def _logarithms(panel: Panel) -> bool:
    """Whether every value is positive, and in nearly all series no value is tiny beside the mean."""
    values, series = panel.values[panel.observed], panel.row_series[panel.observed]
    if not (values > 0).all():
        return False
    count = np.maximum(np.bincount(series, minlength=len(panel)), 1)
    mean = np.bincount(series, weights=values, minlength=len(panel)) / count
    least = np.full(len(panel), np.inf)
    np.minimum.at(least, series, values)
    return bool((least >= _CLEARLY_POSITIVE * mean).mean() >= _NEARLY_ALL)


def _say(config: ForecasterConfig) -> None:
    training, model = config.training, config.model
    seasons = " and ".join(str(m) for m in config.seasons) or "none"
    length = f"{training.max_steps} steps" if training.max_steps else f"{training.max_epochs} epochs"
    rate = training.learning_rate if training.learning_rate == "auto" else f"{training.learning_rate:.2g}"
    say(
        f"recipe: context {config.context}, seasons {seasons}, {config.members} networks of {model.hidden_size} units "
        f"x {length} of {training.batch_size} windows, learning rate {rate}, "
        f"{'logarithms, ' if model.log else ''}windows centred on their "
        f"{ {'season': 'last season', 'mean': 'mean', 'last': 'last value'}[model.centre] }"
    )
