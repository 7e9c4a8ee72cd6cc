"""How labels are mixed up, and how well each is found: of classes, tags and kinds of entities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gatework.tasks.plots import BASELINE, MODEL, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_WRITTEN = 15  # labels whose counts still fit in the cells of a confusion matrix
_MOST_BARS = 40


def draw_confusion(numbers: Mapping[str, Any]) -> Figure:
    """What each label is taken for: rows are the truth, colours are shares of a row.

    numbers: {"names": [K], "counts": [[K] for each of K], "unit": what is counted}
    """
    import numpy as np

    names, counts = numbers["names"], np.asarray(numbers["counts"], dtype=float)
    figure, (axis,) = canvas("What each label is taken for", height=min(4.0 + 0.22 * len(names), 12.0))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axis.grid(visible=False)
    places = range(len(names))
    axis.set_xticks(places, [str(name) for name in names], rotation=90, fontsize=8)
    axis.set_yticks(places, [str(name) for name in names], fontsize=8)
    axis.set(xlabel="model", ylabel="truth")
    if len(names) <= _MOST_WRITTEN:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, ax=axis, label=f"share of the true label's {numbers['unit']}")
    return figure


def draw_f1_by_label(numbers: Mapping[str, Any]) -> Figure:
    """F1 of each label, the most frequent first, beside the baseline's.

    numbers: {"baseline": its name, "rows": [{"label", "count", "model", "baseline"}, ...]}
    """
    rows = sorted(numbers["rows"], key=lambda row: -row["count"])[:_MOST_BARS]
    left = len(numbers["rows"]) - len(rows)
    title = "F1 by label" + (f" (the {len(rows)} most frequent of {len(rows) + left})" if left else "")
    figure, (axis,) = canvas(title, height=max(0.32 * len(rows) + 1.2, 2.5))
    places = range(len(rows))
    axis.barh([place - 0.2 for place in places], [row["model"] for row in rows], 0.4, color=MODEL, label="model")
    axis.barh(
        [place + 0.2 for place in places],
        [row["baseline"] for row in rows],
        0.4,
        color=BASELINE,
        label=numbers["baseline"],
    )
    axis.set_yticks(places, [f"{row['label']} ({row['count']})" for row in rows], fontsize=8)
    axis.invert_yaxis()
    axis.set(xlabel="F1 (true labels in brackets)", xlim=(0, 1))
    axis.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure
