"""What the loop trains: a network, its loss, its examples and its score. The loop knows no more of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

Batch = dict[str, Tensor]


class Sampler(Protocol):
    """Numbers of the examples of each step. One pass is one epoch, and `len` the steps of it."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Tensor]: ...

    def state_dict(self) -> dict[str, Any]:
        """Its place: after the n-th step was taken, restoring this gives the n+1st."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a place that `state_dict` gave."""


@dataclass
class Problem:
    """A network to train.

    Attributes:
        net: called as `net(batch)`.
        loss: (net, batch) -> scalar to be minimised.
        sampler: numbers of the examples of each step; its length is the steps of an epoch.
        batch: numbers [B] -> the batch handed to `loss`.
        validate: net -> scores on the held-out part, smaller is better for the one called `metric`; None = nothing is
            held out, and the last weights are kept.
        metric: the score that decides which weights are best and when to stop.
        unit: what an example is called in the progress line ("windows", "sentences").
    """

    net: nn.Module
    loss: Callable[[nn.Module, Batch], Tensor]
    sampler: Sampler
    batch: Callable[[Tensor], Batch]
    validate: Callable[[nn.Module], dict[str, float]] | None = None
    metric: str = "loss"
    unit: str = "examples"
