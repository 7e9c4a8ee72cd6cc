"""Forecasts beside what came, their error by step ahead, and whether their intervals hold what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gatework.tasks.plots import BASELINE, MODEL, TRUTH, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BAND = ("#dbe7f5", "#aecbeb")


def draw_forecast(numbers: Mapping[str, Any]) -> Figure:
    """Forecasts with their bands on the held-out end of some series.

    numbers: {"unit": target's name, "panels": [{"id", "past_times", "past", "times", "truth", "median", "naive",
    "bands": [[level, low, high], ...] widest first}, ...]}
    """
    panels = numbers["panels"]
    columns = 1 if len(panels) == 1 else 2
    figure, axes = canvas("Forecasts of the held-out end", -(-len(panels) // columns), columns, 3.4)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, panel in zip(axes, panels, strict=False):
        past, times = _times(panel["past_times"]), _times(panel["times"])
        for (level, low, high), colour in zip(panel["bands"], _BAND, strict=False):
            axis.fill_between(times, low, high, color=colour, lw=0, label=f"{100 * level:.0f} % interval")
        axis.plot(past, _gaps(panel["past"]), color=TRUTH, lw=1)
        axis.plot(times, _gaps(panel["truth"]), color=TRUTH, lw=1.4, label="observed")
        axis.plot(times, panel["naive"], color=BASELINE, lw=1, ls="--", label="seasonal naive")
        axis.plot(times, panel["median"], color=MODEL, lw=1.6, label="forecast (median)")
        axis.set(title=str(panel["id"]), ylabel=numbers["unit"])
        for label in axis.get_xticklabels():
            label.set(rotation=25, ha="right", fontsize=8)
    axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def draw_error_by_horizon(numbers: Mapping[str, Any]) -> Figure:
    """Mean absolute error of every step ahead. numbers: {"unit", "model": [H], "baseline": [H], "baseline_name"}."""
    figure, (axis,) = canvas("Error by step ahead")
    steps = range(1, len(numbers["model"]) + 1)
    mark = "o" if len(numbers["model"]) <= 60 else None
    axis.plot(
        steps, _gaps(numbers["baseline"]), color=BASELINE, ls="--", marker=mark, ms=3, label=numbers["baseline_name"]
    )
    axis.plot(steps, _gaps(numbers["model"]), color=MODEL, marker=mark, ms=3, label="model")
    axis.set(xlabel="steps ahead", ylabel=f"mean absolute error [{numbers['unit']}]", ylim=(0, None))
    axis.legend(frameon=False)
    return figure


def draw_coverage(numbers: Mapping[str, Any]) -> Figure:
    """Whether the intervals hold what they say.

    numbers: {"nominal": [...], "observed": [...], "level": of the interval shown by step, "by_step": [H]}
    """
    figure, (overall, by_step) = canvas("Coverage of the intervals", columns=2)
    overall.plot([0, 1], [0, 1], color="#999999", lw=1, label="ideal")
    overall.plot(numbers["nominal"], numbers["observed"], "o-", color=MODEL, label="observed")
    overall.set(
        xlabel="nominal level", ylabel="share of true values inside", xlim=(0, 1), ylim=(0, 1), title="all steps"
    )
    overall.legend(frameon=False)
    level = numbers["level"]
    by_step.plot(range(1, len(numbers["by_step"]) + 1), _gaps(numbers["by_step"]), color=MODEL, label="observed")
    by_step.axhline(level, color="#999999", lw=1, label="nominal")
    by_step.set(
        xlabel="steps ahead", ylabel="share inside", ylim=(0, 1.02), title=f"{100 * level:.0f} % interval by step"
    )
    by_step.legend(frameon=False)
    return figure


def _gaps(values: list[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]


def _times(values: list[Any]) -> Any:
    import numpy as np

    return np.array(values, dtype="datetime64[s]").astype(object) if values and isinstance(values[0], str) else values
