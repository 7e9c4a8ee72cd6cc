"""Pictures of a run. Each is drawn from the numbers saved beside it, so it can be drawn again without the model.

A function `draw_<name>(numbers)` draws plots/<name>.json into plots/<name>.png; the first one imports matplotlib.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gatework.run import Run

MODEL, BASELINE, TRUTH = "#1f5fa8", "#b0661c", "#222222"
_BAND = ("#dbe7f5", "#aecbeb")


def picture(run: Run, name: str, numbers: Mapping[str, Any], folder: str = "") -> None:
    """Save `numbers` as plots/<name>.json in the run (under `folder`), and the picture drawn from that file."""
    run.write_json(f"{folder}plots/{name}.json", numbers)
    draw = getattr(sys.modules[__name__], f"draw_{name}")
    run.write_bytes(f"{folder}plots/{name}.png", png(draw(run.read_json(f"{folder}plots/{name}.json"))))


def rehearse() -> float:
    """Seconds that a picture takes on this machine now, matplotlib being loaded."""
    numbers = {"metric": "loss", "rows": [{"step": 1, "loss": 1.0}]}
    png(draw_learning_curve(numbers))
    began = time.monotonic()
    png(draw_learning_curve(numbers))
    return time.monotonic() - began


def png(figure: Figure) -> bytes:
    """The figure as PNG, 110 dots an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def canvas(title: str, rows: int = 1, columns: int = 1, height: float = 4.0) -> tuple[Figure, list[Axes]]:
    """A figure with a title and its axes, row by row; no global state is touched."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5 if columns == 1 else 12, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=12)
    axes = [figure.add_subplot(rows, columns, number + 1) for number in range(rows * columns)]
    for axis in axes:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def draw_learning_curve(numbers: Mapping[str, Any]) -> Figure:
    """Training loss and held-out score by step, the best marked.

    numbers: {"metric", "rows": [{"step", "loss", <metric>, "member"?}, ...]}
    """
    metric, rows = numbers["metric"], numbers["rows"]
    figure, (loss, score) = canvas("Learning curve", columns=2)
    for member in sorted({row.get("member", 1) for row in rows}):
        own = [row for row in rows if row.get("member", 1) == member]
        label = f"member {member}" if any("member" in row for row in rows) else None
        loss.plot([row["step"] for row in own], [row["loss"] for row in own], lw=1.5, label=label)
        held = [row for row in own if metric in row]
        if held:
            (line,) = score.plot([row["step"] for row in held], [row[metric] for row in held], lw=1.5, label=label)
            best = min(held, key=lambda row: row[metric])
            score.plot(
                best["step"], best[metric], "o", color=line.get_color(), label="best, kept" if not label else None
            )
    loss.set(xlabel="step", ylabel="training loss", title="training")
    score.set(xlabel="step", ylabel=metric.replace("_", " "), title="held-out part")
    if score.get_legend_handles_labels()[1]:
        score.legend(frameon=False)
    return figure


def draw_learning_rate(numbers: Mapping[str, Any]) -> Figure:
    """The finder's sweep and the rate it chose. numbers: {"chosen", "rows": [{"learning_rate", "loss"}, ...]}."""
    figure, (axis,) = canvas("Learning-rate finder")
    axis.semilogx(
        [row["learning_rate"] for row in numbers["rows"]], [row["loss"] for row in numbers["rows"]], color=MODEL
    )
    axis.axvline(numbers["chosen"], color=BASELINE, ls="--", label=f"chosen: {numbers['chosen']:.2g}")
    axis.set(xlabel="learning rate", ylabel="training loss (smoothed)")
    axis.legend(frameon=False)
    return figure


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
