"""What `evaluate` returns: scores beside the baselines', as a table to read and as numbers to keep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gatework.tasks.plots import picture

if TYPE_CHECKING:
    from gatework.run import Run


@dataclass
class Evaluation:
    """Scores of a model on data, beside those of simple baselines on the same data.

    Attributes:
        title: what was evaluated, in a line.
        scores: {metric: score}; the first is the one that a model is chosen by.
        baselines: {baseline: {metric: score}}, where it has one.
        larger: metrics in 0..1 that are better when larger (accuracy, F1); the others are better when smaller.
        nominal: {metric: value it should have}, for those that are neither (coverage).
        figures: {plot: the numbers it is drawn from}.
        tables: {file name without ending: frame} to be kept beside the scores.
        pages: {file name without ending: HTML} to be kept beside the scores.
    """

    title: str
    scores: dict[str, float]
    baselines: dict[str, dict[str, float]]
    larger: frozenset[str] = frozenset()
    nominal: dict[str, float] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> float:
        """The model's score."""
        return self.scores[metric]

    @property
    def skill(self) -> dict[str, float]:
        """Share of the best baseline's error that is gone: 1 - error / its error; 1 - score is an accuracy's error."""
        found = {}
        for metric in self.scores:
            others = [
                scores[metric] for scores in self.baselines.values() if math.isfinite(scores.get(metric, math.nan))
            ]
            if others and metric not in self.nominal:
                ours, best = self._error(metric, self.scores[metric]), min(self._error(metric, s) for s in others)
                found[metric] = 1 - ours / best if best > 0 else math.nan
        return found

    def _error(self, metric: str, score: float) -> float:
        return 1 - score if metric in self.larger else score

    def header(self) -> tuple[str, ...]:
        """The names above the columns of `rows`."""
        return ("metric", "model", *self.baselines, "skill")

    def rows(self) -> list[tuple[str, ...]]:
        """(metric, model, each baseline, skill) as text, in the order of the scores."""
        rows, skill = [], self.skill
        for metric, score in self.scores.items():
            others = [scores.get(metric, math.nan) for scores in self.baselines.values()]
            if metric in self.nominal:
                cells, last = [""] * len(others), f"nominal {self.nominal[metric]:g}"
            else:
                gain = skill.get(metric, math.nan)
                cells, last = [_text(other) for other in others], f"{100 * gain:+.1f} %" if math.isfinite(gain) else "-"
            rows.append((metric, _text(score), *cells, last))
        return rows

    def __str__(self) -> str:
        table = [self.header(), *self.rows()]
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
            for row in table
        ]
        return "\n".join([self.title, *(line.rstrip() for line in lines)])

    __repr__ = __str__

    def save(self, run: Run, folder: str = "") -> None:
        """Write evaluation.json, plots/, tables and pages into `folder` ("" or ending in a slash) of the run."""
        for name, numbers in self.figures.items():
            picture(run, name, numbers, folder)
        for name, frame in self.tables.items():
            run.write_table(f"{folder}{name}.csv", frame)
        for name, html in self.pages.items():
            run.write_text(f"{folder}{name}.html", html)
        run.write_json(f"{folder}evaluation.json", self.to_json())

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it: nan and inf are null."""
        return {
            "title": self.title,
            "scores": finite(self.scores),
            "baselines": {name: finite(scores) for name, scores in self.baselines.items()},
            "larger": sorted(self.larger),
            "nominal": self.nominal,
            "skill": finite(self.skill),
        }


def finite(scores: Mapping[str, float]) -> dict[str, float | None]:
    """{name: value}, None where the value is nan or infinite."""
    return {name: float(value) if math.isfinite(value) else None for name, value in scores.items()}


def _text(value: float) -> str:
    if not math.isfinite(value):
        return "-"
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
