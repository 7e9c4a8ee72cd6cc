"""One long text as B streams that go on from batch to batch, for truncated backpropagation with a carried state."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from gatework.data.epochs import Epochs
from gatework.errors import InputError


class Streams(Epochs):
    """A text cut into B contiguous parts of equal length, read side by side, a chunk of T tokens at a time.

        for numbers in streams:
            x, y = streams.chunk(numbers)            # [B, T] each; y is x one token later
            state = None if streams.first(numbers) else state

    Up to B - 1 tokens at the end of the text are not reached. Its position can be kept and restored exactly.

    Args:
        ids: [R], the text; R of 2 or more.
        batch_size: parts, B; fewer where the text has not 2 tokens for each.
        length: tokens of a chunk, T; the last of an epoch may be shorter.
        seed: of the lengths.
        shuffle_lengths: chunks of random length about T, other ones each epoch, so that not the same tokens stand at
            their ends (Merity et al. 2017, arXiv 1708.02182, section 5; there lengths are drawn one by one, here they
            are also scaled to fill the epoch with the same number of chunks).
    """

    def __init__(self, ids: Tensor, batch_size: int, length: int, seed: int = 0, shuffle_lengths: bool = False) -> None:
        if len(ids) < 2:
            raise InputError(f"the text has {len(ids)} tokens. Expected 2 or more: one to read and one to predict.")
        super().__init__(seed)
        self.batch_size, self.length, self.shuffle_lengths = min(batch_size, len(ids) - 1), length, shuffle_lengths
        self.steps = (len(ids) - 1) // self.batch_size  # tokens of each part that are read
        read = self.batch_size * self.steps
        self._x = ids[:read].view(self.batch_size, self.steps)
        self._y = ids[1 : read + 1].view(self.batch_size, self.steps)
        self._ends = lru_cache(maxsize=2)(self._draw_ends)

    def __len__(self) -> int:
        """Chunks in an epoch."""
        return -(-self.steps // self.length)

    def batches(self, epoch: int) -> tuple[Tensor, ...]:
        """The number of every chunk of the epoch in order, long [1] each; numbers go on from epoch to epoch."""
        return torch.split(epoch * len(self) + torch.arange(len(self)), 1)

    def chunk(self, number: int | Tensor) -> tuple[Tensor, Tensor]:
        """Tokens and the tokens after them, long [B, T] each."""
        epoch, place = divmod(int(number), len(self))
        ends = self._ends(epoch if self.shuffle_lengths else 0)
        part = slice(ends[place], ends[place + 1])
        return self._x[:, part].long().contiguous(), self._y[:, part].long().contiguous()

    def first(self, number: int | Tensor) -> bool:
        """Whether a chunk begins the text, so that the state starts afresh."""
        return int(number) % len(self) == 0

    def _draw_ends(self, epoch: int) -> list[int]:
        """Where the chunks of an epoch begin and end: len + 1 positions from 0 to `steps`."""
        count = len(self)
        if not self.shuffle_lengths or count == 1:
            return [min(i * self.length, self.steps) for i in range(count + 1)]
        generator = self.generator(epoch)
        halved = torch.rand(count, generator=generator) < 0.05
        lengths = torch.where(halved, self.length / 2, float(self.length))
        lengths = (lengths + 5 * torch.randn(count, generator=generator)).clamp(min=min(5, self.length)).double()
        # each chunk keeps one token; the rest is shared out in proportion to what was drawn
        ends = torch.arange(1, count + 1) + (lengths.cumsum(0) / lengths.sum() * (self.steps - count)).round().long()
        return [0, *ends.tolist()]
