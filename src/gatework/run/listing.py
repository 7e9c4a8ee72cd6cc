"""The runs there are, for the leaderboard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatework.errors import ArtefactError
from gatework.run.folder import FACTS, Run


@dataclass(frozen=True)
class RunSummary:
    """One line of the leaderboard; `problem` says why a folder cannot be opened, and is None for a sound one.

    `larger` names the scores that are better when larger.
    """

    path: Path
    name: str
    task: str | None = None
    created: str | None = None
    status: str | None = None
    score: dict[str, Any] | None = None
    problem: str | None = None
    larger: tuple[str, ...] = ()


def list_runs(root: str | Path = "runs") -> list[RunSummary]:
    """The runs in the folder `root`, by name; folders without a run.json are not runs and are left out."""
    root = Path(root)
    if not root.is_dir():
        return []
    return [_summary(path) for path in sorted(root.iterdir()) if (path / FACTS).exists()]


def _summary(path: Path) -> RunSummary:
    try:
        facts = Run.open(path).facts
    except ArtefactError as error:
        return RunSummary(path, path.name, problem=str(error))
    score, larger = facts.get("score"), facts.get("larger")
    return RunSummary(
        path,
        path.name,
        task=facts["task"],
        created=_text(facts.get("created")),
        status=_text(facts.get("status")),
        score=score if isinstance(score, dict) else None,
        larger=tuple(map(str, larger)) if isinstance(larger, list) else (),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
