"""Makes the tables of README.md and the picture docs/kernels.png from benchmarks/results.csv.

    python benchmarks/report.py            write
    python benchmarks/report.py --check    end with code 1 where README.md is not what the results say

Of rows that measure the same thing, the newest counts.
"""

from __future__ import annotations

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results.csv"
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "kernels.png"

Row = dict[str, str]
SAME = ("suite", "cell", "backend", "mode", "shape", "threads", "metric", "peer")


def newest(rows: Iterable[Row]) -> list[Row]:
    """The last row of each thing measured, in the order in which the things first came."""
    kept: dict[tuple[str, ...], Row] = {}
    for row in sorted(rows, key=lambda row: row["date"]):
        kept[tuple(row[column] for column in SAME)] = row
    return list(kept.values())


def geomean(values: list[float]) -> float:
    """Geometric mean of positive numbers."""
    return math.exp(sum(map(math.log, values)) / len(values))


def kernel_table(rows: list[Row]) -> str:
    """One line for each cell, mode and peer: by threads the geometric mean over the shapes, and the worst shape."""
    groups: dict[tuple[str, str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["suite"] == "kernels" and row["ratio"]:
            groups[row["cell"], row["mode"], row["peer"]][row["threads"]].append(float(row["ratio"]))
    threads = sorted({count for group in groups.values() for count in group}, key=int)
    heads = [f"{count} thread{'s' if count != '1' else ''}: mean (worst)" for count in threads]
    lines = [
        "| cell | mode | against | shapes | " + " | ".join(heads) + " |",
        "|---|---|---|---|" + "---|" * len(heads),
    ]
    for (cell, mode, peer), by_threads in groups.items():
        ratios = [by_threads.get(count, []) for count in threads]
        cells = [f"{geomean(one):.2f} ({min(one):.2f})" if one else "" for one in ratios]
        lines.append(f"| {cell} | {mode} | {peer} | {max(map(len, ratios))} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figure_table(rows: list[Row]) -> str:
    """Kernel measures that are not ratios (first use, share of the peak): one line for each."""
    lines = ["| cell | mode | measure | shape | threads | figure |", "|---|---|---|---|---|---|"]
    for row in rows:
        if row["suite"] == "kernels" and row["median"] and not row["ratio"]:
            figure = f"{float(row['median']):.3g}"
            lines.append(
                f"| {row['cell']} | {row['mode']} | {row['metric']} | {row['shape']} | {row['threads']} | {figure} |"
            )
    return "\n".join(lines) if len(lines) > 2 else ""


def forecast_table(rows: list[Row]) -> str:
    """One line for each data set and metric: our model, then every peer on the same data."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["suite"] == "forecast":
            groups[row["mode"], row["metric"]].append(row)
    lines = ["| data | measure (lower is better) | Gatework | peers |", "|---|---|---|---|"]
    for (data, metric), group in groups.items():
        peers = "; ".join(f"{row['peer']} {float(row['peer_median']):.4g}" for row in group if row["peer_median"])
        lines.append(f"| {data} | {metric} | **{float(group[-1]['median']):.4g}** | {peers} |")
    return "\n".join(lines)


def draw(rows: list[Row], path: Path) -> None:
    """Bars of the ratio to torch.nn by shape, one panel for each cell and mode, a line at 1."""
    from matplotlib.figure import Figure

    panels: dict[tuple[str, str], dict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row["suite"] == "kernels" and row["ratio"] and row["peer"].startswith("torch.nn"):
            panels[row["cell"], row["mode"]][row["threads"]][row["shape"]] = float(row["ratio"])
    if not panels:
        return
    columns = min(2, len(panels))
    figure = Figure(figsize=(5.4 * columns, 2.6 * math.ceil(len(panels) / columns)), layout="constrained", dpi=100)
    axes = figure.subplots(math.ceil(len(panels) / columns), columns, squeeze=False).ravel()
    for axis, ((cell, mode), by_threads) in zip(axes, panels.items(), strict=False):
        shapes = list(dict.fromkeys(shape for ratios in by_threads.values() for shape in ratios))
        width = 0.8 / len(by_threads)
        for number, (threads, ratios) in enumerate(sorted(by_threads.items())):
            at = [position + (number - (len(by_threads) - 1) / 2) * width for position in range(len(shapes))]
            label = f"{threads} thread{'s' if threads != '1' else ''}"
            axis.bar(at, [ratios.get(shape, 0.0) for shape in shapes], width, label=label)
        axis.axhline(1.0, color="black", linewidth=0.8)
        axis.set_xticks(range(len(shapes)), shapes, rotation=60, ha="right", fontsize=7)
        axis.set_title(f"{cell}, {mode}", fontsize=9)
        axis.set_ylabel("times as fast as torch.nn", fontsize=8)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    axes[0].legend(fontsize=7)
    figure.savefig(path)


def between(text: str, marker: str, new: str) -> str:
    """`text` with what stands between `<!-- marker -->` and `<!-- /marker -->` replaced."""
    start, end = f"<!-- {marker} -->", f"<!-- /{marker} -->"
    head, _, rest = text.partition(start)
    _, found, tail = rest.partition(end)
    if not found:
        raise ValueError(f"no {start} ... {end} in the document")
    return f"{head}{start}\n{new}\n{end}{tail}"


def main() -> int:
    with RESULTS.open(newline="", encoding="utf-8") as file:
        rows = newest(csv.DictReader(file))
    old = README.read_text(encoding="utf-8")
    kernels = "\n\n".join(table for table in (kernel_table(rows), figure_table(rows)) if table)
    new = between(between(old, "kernels", kernels), "forecast", forecast_table(rows))
    if "--check" in sys.argv:
        print("README.md is as the results say" if new == old else "stale: run python benchmarks/report.py")
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    draw(rows, PICTURE)
    print(f"written: {README.name}, {PICTURE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
