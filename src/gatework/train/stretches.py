"""Epochs of another length than a pass over the examples: validation comes sooner, or later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from gatework.errors import ArtefactError
from gatework.train.problem import Sampler
from gatework.train.settings import Training


class Stretches:
    """The steps of a sampler in epochs of a given number of steps, each of which begins where the last one ended.

    Args:
        sampler: whose steps they are, pass after pass.
        steps: of an epoch, 1 or more.
    """

    def __init__(self, sampler: Sampler, steps: int) -> None:
        self._sampler, self._steps = sampler, steps
        self._taken = 0  # of this epoch

    def __len__(self) -> int:
        """Steps of an epoch."""
        return self._steps

    def __iter__(self) -> Iterator[Tensor]:
        """The numbers of each step from the present place to the end of the epoch."""
        while self._taken < self._steps:
            for numbers in self._sampler:
                self._taken += 1
                yield numbers
                if self._taken == self._steps:
                    break
        self._taken = 0

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch and in the sampler's pass."""
        return {"taken": self._taken, "sampler": self._sampler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to the place that `state_dict` gave; ArtefactError when it is none."""
        taken = state.get("taken")
        if type(taken) is not int or not 0 <= taken <= self._steps:
            raise ArtefactError(f"{taken!r} is not a place in an epoch of {self._steps} steps. It is damaged.")
        self._taken = taken
        self._sampler.load_state_dict(state["sampler"])


def span(settings: Training, passes: int, steps: int) -> dict[str, int]:
    """The settings that make a run of so many passes over the examples, where neither epochs nor steps are given.

    Args:
        settings: whose epochs are passes, unless `steps_per_epoch` says otherwise.
        passes: how often each example is seen.
        steps: of a pass.
    """
    return {"max_epochs": passes} if settings.steps_per_epoch is None else {"max_steps": passes * steps}
