"""An average of the weights: smoother than the last step's, and what validation and the saved model use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Average:
    """An average of the weights after every step; buffers follow the network as they are.

    With a decay it is `decay * average + (1 - decay) * weights`; early on the decay is capped at (1 + n) / (10 + n),
    so that the first steps' weights are soon forgotten. Without one it is the mean of the weights since `first`.

    Args:
        net: whose weights are averaged, as they are now to begin with.
        decay: 0 to 1, or None for the uniform mean.
        first: steps done when it begins.
    """

    def __init__(self, net: nn.Module, decay: float | None, first: int = 0) -> None:
        self._net = net
        self._decay = decay
        self._first = first
        self._weights: dict[str, Tensor] = {name: value.detach().clone() for name, value in net.named_parameters()}

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take in the network's weights after `steps` steps in all."""
        if self._decay is None:
            share = 1 / (steps - self._first + 1)
        else:
            share = 1 - min(self._decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(list(self._weights.values()), [value.detach() for value in self._net.parameters()], share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the network carries the averaged weights."""
        own = {name: value.detach().clone() for name, value in self._net.named_parameters()}
        self._load(self._weights)
        try:
            yield
        finally:
            self._load(own)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights by name, and the step they begin at."""
        return {"weights": self._weights, "first": self._first}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self._weights, self._first = state["weights"], state["first"]

    @torch.no_grad()
    def _load(self, weights: dict[str, Tensor]) -> None:
        for name, value in self._net.named_parameters():
            value.copy_(weights[name])
