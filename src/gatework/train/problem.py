"""What the loop trains: a network, its loss, its examples and its score. The loop knows no more of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor, nn

Batch = dict[str, Any]
Goal = Literal["smaller", "larger"]


class Carried(Protocol):
    """Something that decides the next step and is saved with it; a sampler's place is one."""

    def state_dict(self) -> dict[str, Any]:
        """What it is now: any nesting of dict, list, tuple, plain values and tensors."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what `state_dict` gave."""


class Sampler(Carried, Protocol):
    """Numbers of the examples of each step. One pass is one epoch, and `len` the steps of it.

    Its state is its place: after the n-th step was taken, restoring it gives the n+1st.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Tensor]: ...


@dataclass(frozen=True)
class Group:
    """Parameters that learn at a rate of their own, and from a moment of their own.

    Discriminative learning rates and gradual unfreezing of Howard & Ruder, arXiv 1801.06146, section 3.2 and 3.3.

    Attributes:
        name: for messages.
        parameters: of the network; those that ask for no gradient stay as they are.
        rate: factor on the learning rate, above 0.
        thaw: share of the run, 0 to 1, until which they are frozen: they cost no gradient and are not decayed.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    rate: float = 1.0
    thaw: float = 0.0


@dataclass
class Problem:
    """A network to train.

    Attributes:
        net: called as `net(batch)`.
        loss: (net, batch) -> scalar to be minimised.
        sampler: numbers of the examples of each step; its length is the steps of an epoch.
        batch: numbers [B] -> the batch handed to `loss`.
        validate: net -> scores on the held-out part; None = nothing is held out, and the last weights are kept.
        metric: the score that decides which weights are best and when to stop.
        unit: what an example is called in the progress line ("windows", "sentences").
        goal: whether a smaller or a larger `metric` is better.
        carried: what else decides the next step, such as the state that is carried over a stream; None = nothing.
        groups: parameters with a rate or a start of their own; those in no group train from the start at rate 1.
    """

    net: nn.Module
    loss: Callable[[nn.Module, Batch], Tensor]
    sampler: Sampler
    batch: Callable[[Tensor], Batch]
    validate: Callable[[nn.Module], dict[str, float]] | None = None
    metric: str = "loss"
    unit: str = "examples"
    goal: Goal = "smaller"
    carried: Carried | None = None
    groups: Sequence[Group] | None = None
