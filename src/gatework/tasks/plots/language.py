"""Plots of language models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gatework.tasks.plots import BASELINE, MODEL, canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_surprisal_by_frequency(numbers: Mapping[str, Any]) -> Figure:
    """Surprisal of frequent and of rare tokens.

    numbers: {"bands": [times a token came in training], "share": [of the tokens], "model": [bits], "baselines": {name:
    [bits]}}
    """
    figure, (axis,) = canvas("Surprisal by how often a token came in training")
    places = list(range(len(numbers["bands"])))
    for (name, bits), style in zip(numbers["baselines"].items(), ("--", ":", "-."), strict=False):
        axis.plot(places, bits, color=BASELINE, ls=style, marker="o", ms=4, label=name)
    axis.plot(places, numbers["model"], color=MODEL, marker="o", label="model")
    labels = [
        f"{band}\n{100 * share:.3g} % of the tokens"
        for band, share in zip(numbers["bands"], numbers["share"], strict=True)
    ]
    axis.set_xticks(places, labels)
    axis.set(xlabel="times in training", ylabel="surprisal [bits a token]", ylim=(0, None))
    axis.legend(frameon=False)
    return figure
