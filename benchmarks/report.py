"""Makes the tables of README.md and the picture docs/kernels.png from benchmarks/results.csv.

    python benchmarks/report.py            write
    python benchmarks/report.py --check    end with code 1 where README.md is not what the results say

Of rows that measure the same thing, the newest counts.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gatework.bench.record import read
from gatework.bench.targets import Target, Verdict, judge

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results.csv"
README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "kernels.png"


@dataclass(frozen=True)
class Goal:
    """What is to be reached on a data set."""

    data: str
    metric: str
    target: str
    larger: bool = False
    published: str = ""

    def met(self, score: float) -> bool:
        return score >= float(self.target) if self.larger else score <= float(self.target)


FORECASTS = (
    Goal("air-passengers", "MAE", "14"),
    Goal("m4-hourly", "OWA", "0.55"),
    Goal("m4-weekly", "OWA", "0.90"),
    Goal("etth1-96", "MSE", "0.385"),
    Goal("exchange-rate", "wQL", "0.0110"),
)
TEXTS = (
    Goal("ptb", "perplexity", "110", published="LSTM 2x200 114.5 (Zaremba 2014)"),
    Goal("tiny-shakespeare", "nats per character", "1.45", published="char-rnn class 1.4-1.5"),
    Goal("war-and-peace 1x128", "nats per character", "1.277", published="LSTM of this size 1.277 (Karpathy 2015)"),
    Goal("war-and-peace 2x256", "nats per character", "1.137", published="LSTM of this size 1.137 (Karpathy 2015)"),
    Goal("sst2", "accuracy", "0.82", larger=True, published="usual without vectors .78-.82"),
    Goal("trec", "accuracy", "0.90", larger=True, published="usual without vectors .85-.90"),
    Goal("imdb", "accuracy", "0.89", larger=True, published="LSTM .865 (Dai & Le 2015)"),
    Goal("imdb-transfer", "accuracy", "0.91", larger=True, published="ULMFiT .954, again by others .921"),
    Goal("ewt", "accuracy", "0.94", larger=True, published="BiLSTM with vectors .95-.96"),
    Goal("ncbi", "F1", "0.83", larger=True, published="C-BiLSTM-CRF with vectors .802, SBLC .862"),
    Goal("snips-slots", "F1", "0.92", larger=True, published="slot-gated .888, SF-ID .922"),
    Goal("snips-intent", "accuracy", "0.975", larger=True, published="slot-gated .970, SF-ID .974"),
)

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


def score_table(rows: list[Row], suite: str, goals: Sequence[Goal], seconds: str) -> str:
    """One line for each data set: our score (bold where the target is met), its seconds, and every other's score."""
    published = any(goal.published for goal in goals)
    names = ["data", "measure", "target", "Gatework", seconds, f"others ({seconds})", *["published"] * published]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    own_rows = [row for row in rows if row["suite"] == suite]
    for goal in goals:
        scores = [row for row in own_rows if (row["mode"], row["metric"]) == (goal.data, goal.metric)]
        times = [row for row in own_rows if (row["mode"], row["metric"]) == (goal.data, seconds)]
        taken = {row["peer"]: float(row["peer_median"]) for row in times if row["peer"]}
        peers = {row["peer"]: float(row["peer_median"]) for row in scores if row["peer"]}
        others = [
            f"{peer} {score:.3g}" + (f" ({taken[peer]:.0f})" if peer in taken else "")
            for peer, score in sorted(peers.items(), key=lambda item: -item[1] if goal.larger else item[1])
        ]
        own, used = _latest(scores), _latest(times)
        if own is not None:
            met = "**" if goal.met(own) else ""
            cells = [goal.data, goal.metric, goal.target, f"{met}{own:{'.4g' if published else '.3g'}}{met}"]
            cells += [f"{used:.0f}" if used else "", ", ".join(others), *[goal.published] * published]
            lines.append("| " + " | ".join(cells) + " |")
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
    new = between(old, "kernels", kernel_table(rows))
    new = between(new, "forecast", score_table(rows, "forecast", FORECASTS, "CPU seconds"))
    new = between(new, "text", score_table(rows, "text", TEXTS, "seconds"))
    if "--check" in sys.argv:
        print("README.md is as the results say" if new == old else "stale: run python benchmarks/report.py")
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    draw(rows, PICTURE)
    print(f"written: {README.name}, {PICTURE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
