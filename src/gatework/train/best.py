"""Which validation was the best so far, the weights it saw, and how long ago that was."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from gatework.train.problem import Goal

_INTERVAL = 5  # validations; n of the algorithm


class Best:
    """The scores of the validations, and the weights of the best.

    Attributes:
        score: the best; None before the first, or when none was a number.
        epoch: of the best.
        stale: validations since.
        weights: the network's at the best.
    """

    def __init__(self, goal: Goal) -> None:
        self._sign = 1.0 if goal == "smaller" else -1.0
        self._scores: list[float] = []
        self.score: float | None = None
        self.epoch = 0
        self.stale = 0
        self.weights: dict[str, Tensor] | None = None

    def take(self, score: float, epoch: int, weights: Callable[[], dict[str, Tensor]]) -> bool:
        """Count a validation; whether it is better than all before it. nan never is."""
        self._scores.append(score)
        better = not math.isnan(score) and (self.score is None or self._sign * score < self._sign * self.score)
        self.stale = 0 if better else self.stale + 1
        if better:
            self.score, self.epoch, self.weights = score, epoch, weights()
        return better

    def stalled(self) -> bool:
        """Whether the last score is no better than the best of 5 or more validations ago: the time to average.

        Source: Merity, Keskar & Socher, arXiv 1708.02182, algorithm 1, with a validation as the logging interval.
        """
        before = self._scores[:-_INTERVAL]
        return bool(before) and not self._sign * self._scores[-1] < min(self._sign * score for score in before)

    def state_dict(self) -> dict[str, Any]:
        """All of it."""
        return {
            "scores": self._scores,
            "score": self.score,
            "epoch": self.epoch,
            "stale": self.stale,
            "weights": self.weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._scores, self.score, self.epoch = state["scores"], state["score"], state["epoch"]
        self.stale, self.weights = state["stale"], state["weights"]
