"""Batches of examples of like length: little padding, yet a new order each epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from gatework.data.epochs import Epochs

_POOL = 50  # batches that are drawn at random before they are sorted by length


class Buckets(Epochs):
    """Numbers of examples of like length, a batch at a time; its position can be kept and restored exactly.

    Each epoch draws all examples in a new random order, sorts runs of 50 batches by length and shuffles these batches.

    Args:
        lengths: [N], of the examples.
        batch_size: examples of a batch, 1 or more; one of each epoch may be smaller.
        seed: of the order.
        examples: which of them to draw, long [M] (default: all N).
        shuffle: False goes from the longest to the shortest, the same each epoch.
    """

    def __init__(
        self, lengths: Tensor, batch_size: int, seed: int = 0, examples: Tensor | None = None, shuffle: bool = True
    ) -> None:
        self.examples = torch.arange(len(lengths)) if examples is None else examples
        if len(self.examples) == 0:
            raise ValueError("no example to draw from")
        super().__init__(seed)
        self.lengths, self.batch_size, self.shuffle = lengths[self.examples], batch_size, shuffle

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.examples) // self.batch_size)

    def batches(self, epoch: int) -> list[Tensor]:
        """Every batch of the epoch in order, long [batch_size] each."""
        if not self.shuffle:
            order = self.lengths.argsort(descending=True, stable=True)
            return list(torch.split(self.examples[order], self.batch_size))
        generator = self.generator(epoch)
        drawn = torch.randperm(len(self.examples), generator=generator)
        found: list[Tensor] = []
        for pool in torch.split(drawn, _POOL * self.batch_size):
            like = pool[self.lengths[pool].argsort(descending=True, stable=True)]
            found += torch.split(self.examples[like], self.batch_size)
        return [found[i] for i in torch.randperm(len(found), generator=generator).tolist()]
