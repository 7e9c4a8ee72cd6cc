"""How to build and train the forecasting network for given data: one recipe, read off the data's size and seasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Centre = Literal["season", "mean", "last"]
Preset = Literal["fast", "good", "best"]

_DAYS = (
    24,
    48,
    72,
    96,
    144,
    288,
)  # rows of a day where rows are an hour or a whole part of one; a week is a season too
_SMALL = 100  # horizons in the data under which a network is trained briefly and many are averaged


@dataclass(frozen=True)
class Recipe:
    """What was chosen.

    Attributes:
        context: rows of the past the network sees.
        seasons: periods in rows, each at most the context.
        centre: what windows are centred on, see `ForecastNet`: the steadier mean where there is little to learn from.
        hidden_size: units of the cell.
        batch_size: windows in a step.
        learning_rate: peak of a one-cycle schedule.
        steps: of each member.
        members: networks to train under different seeds, whose quantiles are averaged.
    """

    context: int
    seasons: tuple[int, ...]
    centre: Centre
    hidden_size: int
    batch_size: int
    learning_rate: float
    steps: int
    members: int


def choose(
    lengths: Sequence[int], horizon: int, season: int, context: int | None = None, preset: Preset = "good"
) -> Recipe:
    """The recipe for series of `lengths` rows.

    Args:
        lengths: rows of each series that may be trained on.
        horizon: rows to forecast, >= 1.
        season: main period in rows, 1 = none.
        context: rows of the past, if it was set.
        preset: "fast" trains one network briefly, "best" twice as many as "good" and for twice as long.
    """
    typical = sorted(lengths)[len(lengths) // 2]
    chosen = _context(typical, horizon, season) if context is None else context
    week = 7 * season
    seasons = tuple(
        m for m in (season, week) if 1 < m <= chosen and (m == season or (season in _DAYS and 2 * m <= chosen))
    )
    # how much there is to learn from: windows that do not overlap
    size = max(1.0, sum(lengths) / horizon)
    small = size < _SMALL
    steps = round(min(400.0, max(40.0, 40 * (size / 10) ** 0.55)))
    return Recipe(
        context=chosen,
        seasons=seasons,
        centre="mean" if small else "season",
        hidden_size=64 if small else 128,
        batch_size=64 if small else 128,
        learning_rate=1e-3 * min(4.0, max(1.0, (size / 10) ** 0.35)),
        steps={"fast": max(30, steps // 2), "good": steps, "best": 2 * steps}[preset],
        members={"fast": 1, "good": 5 if small else 2, "best": 10 if small else 4}[preset],
    )


def _context(typical: int, horizon: int, season: int) -> int:
    """Rows of the past for series of `typical` length: some cycles, and at least two horizons."""
    week = 7 * season
    if season in _DAYS and typical >= 4 * week:
        wanted = 2 * week
    elif season <= 7:
        wanted = 8 * season
    else:
        wanted = 2 * season if season > 26 else 3 * season
    # at least half of a typical series must be left to slide the window over
    longest = max((typical - horizon) // 2, min(2 * season, typical - horizon), 1)
    return min(max(wanted, 2 * horizon), longest)
