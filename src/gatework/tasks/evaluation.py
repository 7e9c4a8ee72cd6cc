"""What `evaluate` returns: scores beside the baseline's, as a table to read and as numbers to keep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gatework.tasks.metrics import skill
from gatework.tasks.plots import picture

if TYPE_CHECKING:
    from gatework.run import Run


@dataclass
class Evaluation:
    """Scores of a model on data, beside a baseline's on the same data.

    Attributes:
        title: what was evaluated, in a line.
        baseline: name of the baseline.
        scores: {metric: score}; those that are errors are better when smaller.
        baseline_scores: {metric: score} of the baseline, where it has one.
        nominal: {metric: value it should have}, for those that are no errors (coverage).
        figures: {plot: the numbers it is drawn from}.
        tables: {file name without ending: frame} to be kept beside the scores.
    """

    title: str
    baseline: str
    scores: dict[str, float]
    baseline_scores: dict[str, float]
    nominal: dict[str, float] = field(default_factory=dict)
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> float:
        """The model's score."""
        return self.scores[metric]

    @property
    def skill(self) -> dict[str, float]:
        """Share of the baseline's error that is gone, for every error: 1 - score / baseline."""
        return {
            metric: skill(self.scores[metric], self.baseline_scores[metric])
            for metric in self.scores
            if metric in self.baseline_scores and metric not in self.nominal
        }

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(metric, model, baseline, skill) as text, in the order of the scores."""
        rows = []
        for metric, score in self.scores.items():
            if metric in self.nominal:
                rows.append((metric, _text(score), "", f"nominal {self.nominal[metric]:g}"))
            else:
                gain = self.skill.get(metric, math.nan)
                rows.append(
                    (
                        metric,
                        _text(score),
                        _text(self.baseline_scores.get(metric, math.nan)),
                        f"{100 * gain:+.1f} %" if math.isfinite(gain) else "-",
                    )
                )
        return rows

    def __str__(self) -> str:
        table = [("metric", "model", self.baseline, "skill"), *self.rows()]
        widths = [max(len(row[column]) for row in table) for column in range(4)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(row[column].rjust(widths[column]) for column in (1, 2, 3))]).rstrip()
            for row in table
        ]
        return "\n".join([self.title, *lines])

    __repr__ = __str__

    def save(self, run: Run, folder: str = "") -> None:
        """Write evaluation.json, plots/ and the tables into `folder` ("" or ending in a slash) of the run."""
        for name, numbers in self.figures.items():
            picture(run, name, numbers, folder)
        for name, frame in self.tables.items():
            run.write_table(f"{folder}{name}.csv", frame)
        run.write_json(f"{folder}evaluation.json", self.to_json())

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it: nan and inf are null."""
        return {
            "title": self.title,
            "baseline": self.baseline,
            "scores": finite(self.scores),
            "baseline_scores": finite(self.baseline_scores),
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
