"""Pictures of a run. Each is drawn from the numbers saved beside it, so it can be drawn again without the model.

A function `draw_<name>(numbers)` in any file of this folder draws plots/<name>.json into plots/<name>.png; the first
one imports matplotlib.
"""

from __future__ import annotations

import functools
import importlib
import io
import pkgutil
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gatework.run import Run

MODEL, BASELINE, TRUTH = "#1f5fa8", "#b0661c", "#222222"
_DRAW = "draw_"


@functools.cache
def drawings() -> dict[str, Callable[[Mapping[str, Any]], Figure]]:
    """{picture: the function that draws it} of every file of this folder."""
    found: dict[str, Callable[[Mapping[str, Any]], Figure]] = {}
    for entry in pkgutil.iter_modules(__path__, f"{__name__}."):
        module = importlib.import_module(entry.name)
        found |= {name.removeprefix(_DRAW): value for name, value in vars(module).items() if name.startswith(_DRAW)}
    return found


def picture(run: Run, name: str, numbers: Mapping[str, Any], folder: str = "") -> None:
    """Save `numbers` as plots/<name>.json in the run (under `folder`), and the picture drawn from that file."""
    run.write_json(f"{folder}plots/{name}.json", numbers)
    run.write_bytes(f"{folder}plots/{name}.png", png(drawings()[name](run.read_json(f"{folder}plots/{name}.json"))))


def rehearse() -> float:
    """Seconds that a picture takes on this machine now, matplotlib being loaded."""
    numbers = {"metric": "loss", "rows": [{"step": 1, "loss": 1.0}]}
    draw = drawings()["learning_curve"]
    png(draw(numbers))
    began = time.monotonic()
    png(draw(numbers))
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
