"""What goes in and out of a training beside its problem: where its state is kept, where its rows go, how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol


class Keeper(Protocol):
    """Where the exact state is kept; `gatework.run.Checkpoint` is one."""

    def save(self, state: dict[str, Any]) -> None:
        """Replace what is kept, whole or not at all."""

    def load(self) -> dict[str, Any] | None:
        """What was saved last; None when nothing was."""


@dataclass
class Journal:
    """Where rows and lines go, and what to tell someone who stops the run."""

    append: Callable[[dict[str, Any]], None] = lambda row: None
    rewrite: Callable[[list[dict[str, Any]]], None] = lambda rows: None
    log: Callable[[str], None] | None = None
    resume_command: str = ""
    labels: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outcome:
    """How a run ended. `reason` is one of "epochs", "steps", "patience", "time"; `validation` the slowest's seconds."""

    reason: str
    steps: int
    seconds: float
    best_score: float | None
    best_epoch: int
    learning_rate: float
    history: list[dict[str, Any]]
    finder: list[dict[str, float]]
    validation: float = 0.0
