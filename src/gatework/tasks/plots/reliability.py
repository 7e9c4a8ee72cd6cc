"""How far probabilities can be believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gatework.tasks.plots import MODEL, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_IDEAL = "#999999"


def draw_reliability(numbers: Mapping[str, Any]) -> Figure:
    """How often what is said with a probability is right, and how many cases were said so.

    numbers: {"said": [bins], "right": [bins], "share": [bins], "error": expected calibration error, "temperature"}
    """
    figure, (curve, cases) = canvas("Reliability of the probabilities", columns=2)
    curve.plot([0, 1], [0, 1], color=_IDEAL, lw=1, label="ideal")
    curve.plot(numbers["said"], numbers["right"], "o-", color=MODEL, label="observed")
    curve.set(
        xlabel="probability that was said",
        ylabel="share that was right",
        xlim=(0, 1.02),
        ylim=(0, 1.02),
        title=f"expected calibration error {100 * numbers['error']:.1f} %, temperature {numbers['temperature']:.2f}",
    )
    curve.legend(frameon=False)
    cases.bar(numbers["said"], numbers["share"], width=0.03, color=MODEL)
    cases.set(xlabel="probability that was said", ylabel="share of cases", xlim=(0, 1.02), title="how often")
    return figure
