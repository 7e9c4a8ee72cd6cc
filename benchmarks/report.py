"""Makes the tables of README.md and the picture docs/kernels.png from benchmarks/results.csv.

    python benchmarks/report.py            write
    python benchmarks/report.py --check    end with code 1 where README.md is not what the results say

Of rows that measure the same thing, the newest counts.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from gatework.bench.record import read
from gatework.bench.targets import Target, Verdict, judge

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results.csv"
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "kernels.png"

# Of each data set the score that counts, and what it should be.
TARGETS = {
    "air-passengers": ("MAE", "14"),
    "m4-hourly": ("OWA", "0.55"),
    "m4-weekly": ("OWA", "0.90"),
    "etth1-96": ("MSE", "0.385"),
    "exchange-rate": ("wQL", "0.0110"),
}

Row = dict[str, str]
SAME = ("suite", "cell", "backend", "mode", "shape", "threads", "metric", "peer")


def newest(rows: Iterable[Row]) -> list[Row]:
    """The last row of each thing measured, in the order in which the things first came."""
    kept: dict[tuple[str, ...], Row] = {}
    for row in sorted(rows, key=lambda row: row["date"]):
        kept[tuple(row[column] for column in SAME)] = row
    return list(kept.values())


def kernel_table(rows: list[Row]) -> str:
    """One line for each target of the kernels: what was measured by threads, the worst shape in brackets."""
    verdicts = judge(row for row in rows if row["suite"] == "kernels")
    threads = sorted({verdict.threads for verdict in verdicts if verdict.threads}, key=int)
    heads = [f"{count} thread{'s' if count != '1' else ''}" for count in threads]
    lines = ["| measure | against | target | " + " | ".join(heads) + " |", "|---|---|---|" + "---|" * len(heads)]
    by_target: dict[Target, dict[str, Verdict]] = {}
    for verdict in verdicts:
        by_target.setdefault(verdict.target, {})[verdict.threads] = verdict
    for target, found in by_target.items():
        cells = [_shown(found.get(count) or found.get("")) for count in threads]
        lines.append(f"| {_measure(target)} | {target.peer} | {_bound(target)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _measure(target: Target) -> str:
    name = target.cell if target.metric and target.most < math.inf else f"{target.cell} {target.mode}"
    return f"{name}, {target.metric}" if target.metric else name


def _bound(target: Target) -> str:
    if target.most < math.inf:
        return f"<= {target.most:.3g}"
    return f">= {target.least:.3g}" + (f", every shape >= {target.worst:.3g}" if target.worst else "")


def _shown(verdict: Verdict | None) -> str:
    """The geometric mean over the shapes and the worst shape; bold where the target is met."""
    if verdict is None:
        return ""
    mean = f"**{verdict.mean:.2f}**" if verdict.met else f"{verdict.mean:.2f}"
    return f"{mean} ({verdict.worst:.2f})" if verdict.shapes > 1 else mean


def forecast_table(rows: list[Row]) -> str:
    """One line for each data set: our score (bold where the target is met) and CPU seconds, and every peer's."""
    lines = [
        "| data | measure | target | Gatework | CPU seconds | others (CPU seconds) |",
        "|---|---|---|---|---|---|",
    ]
    forecasts = [row for row in rows if row["suite"] == "forecast"]
    for data, (metric, target) in TARGETS.items():
        scores = [row for row in forecasts if (row["mode"], row["metric"]) == (data, metric)]
        seconds = [row for row in forecasts if (row["mode"], row["metric"]) == (data, "CPU seconds")]
        taken = {row["peer"]: float(row["peer_median"]) for row in seconds if row["peer"]}
        peers = {row["peer"]: float(row["peer_median"]) for row in scores if row["peer"]}
        others = [
            f"{peer} {score:.3g}" + (f" ({taken[peer]:.0f})" if peer in taken else "")
            for peer, score in sorted(peers.items(), key=lambda item: item[1])
        ]
        own, used = _latest(scores), _latest(seconds)
        if own:
            met = "**" if own <= float(target) else ""
            time = f"{used:.0f}" if used else ""
            lines.append(f"| {data} | {metric} | {target} | {met}{own:.3g}{met} | {time} | {', '.join(others)} |")
    return "\n".join(lines)


def _latest(rows: list[Row]) -> float | None:
    """Our own figure in the newest of these rows."""
    own = [row for row in rows if row["median"]]
    return float(max(own, key=lambda row: row["date"])["median"]) if own else None


def draw(rows: list[Row], path: Path) -> None:
    """Bars of the ratio to torch.nn by shape, one panel for each cell and mode, a line at 1."""
    from matplotlib.figure import Figure

    panels: dict[tuple[str, str], dict[str, dict[str, float]]]
    panels = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if row["suite"] == "kernels" and row["ratio"] and row["peer"].startswith("torch.nn"):
            panels[row["cell"], row["mode"]][row["threads"]][row["shape"]] = float(row["ratio"])
    panels = {key: panel for key, panel in panels.items() if any(len(ratios) > 3 for ratios in panel.values())}
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
    rows = newest(read(RESULTS))
    old = README.read_text(encoding="utf-8")
    new = between(between(old, "kernels", kernel_table(rows)), "forecast", forecast_table(rows))
    if "--check" in sys.argv:
        print("README.md is as the results say" if new == old else "stale: run python benchmarks/report.py")
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    draw(rows, PICTURE)
    print(f"written: {README.name}, {PICTURE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
