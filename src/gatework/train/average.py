"""An exponential average of the weights: smoother than the last step's, and what validation and the saved model use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Keeps `decay * average + (1 - decay) * weights` after every step; buffers follow the network as they are.

    Early on the decay is capped at (1 + n) / (10 + n), so that the first steps' weights are soon forgotten.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self._net = net
        self._decay = decay
        self.weights: dict[str, Tensor] = {name: value.detach().clone() for name, value in net.named_parameters()}

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take in the network's weights after `steps` steps in all."""
        share = 1 - min(self._decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(list(self.weights.values()), [value.detach() for value in self._net.parameters()], share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the network carries the averaged weights."""
        own = {name: value.detach().clone() for name, value in self._net.named_parameters()}
        self._load(self.weights)
        try:
            yield
        finally:
            self._load(own)

    @torch.no_grad()
    def _load(self, weights: dict[str, Tensor]) -> None:
        for name, value in self._net.named_parameters():
            value.copy_(weights[name])
