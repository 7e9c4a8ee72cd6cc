"""List the runs of a folder, the best first.

Example: gatework runs --sort created
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gatework.run import RunSummary


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("root", nargs="?", default="runs", metavar="FOLDER", help="where the runs are (default runs)")
    parser.add_argument("--sort", choices=("score", "created", "name"), default="score", help="order (default score)")


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    from gatework.cli.flags import refuse_unknown
    from gatework.run import list_runs

    refuse_unknown("gatework runs", rest, ("--sort",))
    found = list_runs(options.root)
    if not found:
        print(f"no runs in {options.root}")
        return
    rows = [("run", "task", "created", "status", "score")]
    rows += [
        (
            summary.name,
            summary.task or "?",
            (summary.created or "?")[:19],
            summary.problem or summary.status or "?",
            _score(summary),
        )
        for summary in _ordered(found, options.sort)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _ordered(found: Sequence[RunSummary], by: str) -> list[RunSummary]:
    if by == "score":
        return sorted(found, key=lambda summary: (summary.task or "", _leading(summary), summary.name))
    return sorted(found, key=lambda summary: (getattr(summary, by) or "", summary.name))


def _leading(summary: RunSummary) -> float:
    """The first number of the score, which is the metric a task is chosen by, as one where less is better.

    Runs without a score come last.
    """
    for name, value in (summary.score or {}).items():
        if isinstance(value, int | float):
            return -value if name in summary.larger else value
    return float("inf")


def _score(summary: RunSummary) -> str:
    numbers = {key: value for key, value in (summary.score or {}).items() if isinstance(value, int | float)}
    return "  ".join(f"{key} {value:.4g}" for key, value in list(numbers.items())[:4])
