"""A place in seeded epochs that can be kept and restored exactly: what the samplers stand on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gatework.errors import ArtefactError


class Epochs(ABC):
    """Batches of numbers, epoch after epoch.

    The order of an epoch follows from the seed and the epoch alone, so that a restored sampler goes on with the very
    next batch at once.

    Args:
        seed: of the order.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = 0
        self.position = 0  # batches of this epoch already given

    @abstractmethod
    def __len__(self) -> int:
        """Batches in an epoch."""

    @abstractmethod
    def batches(self, epoch: int) -> list[Tensor] | tuple[Tensor, ...]:
        """Every batch of the epoch in order, each long [B]."""

    def __iter__(self) -> Iterator[Tensor]:
        """The batches from the present position to the end of the epoch."""
        order = self.batches(self.epoch)
        while self.position < len(order):
            self.position += 1
            yield order[self.position - 1]
        self.epoch, self.position = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """The position: after the n-th batch was taken, restoring this gives the n+1st."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to the position that `state_dict` gave; ArtefactError when it is none."""
        values = [state.get(key) for key in ("epoch", "position")]
        if not all(type(value) is int and value >= 0 for value in values) or state["position"] > len(self):
            raise ArtefactError(
                f"{state!r} is not a position among {len(self)} batches an epoch. It is damaged or of other data."
            )
        self.epoch, self.position = state["epoch"], state["position"]

    def generator(self, epoch: int) -> torch.Generator:
        """The random numbers of an epoch."""
        return torch.Generator().manual_seed((self.seed * 1_000_003 + epoch) % 2**63)
