"""How a training went: the learning curve, and the sweep of the learning-rate finder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gatework.tasks.plots import BASELINE, MODEL, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_learning_curve(numbers: Mapping[str, Any]) -> Figure:
    """Training loss and held-out score by step, the best marked.

    numbers: {"metric", "rows": [{"step", "loss", <metric>, "best": whether it was the best so far, "member"?}, ...]}
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
            for best in [row for row in held if row.get("best")][-1:]:
                label_of_best = "best, kept" if not label else None
                score.plot(best["step"], best[metric], "o", color=line.get_color(), label=label_of_best)
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
