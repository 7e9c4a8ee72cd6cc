"""Texts as numbers: many lists of ids in one flat tensor, gathered to padded batches without a loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PAD, UNKNOWN, END = 0, 1, 2
SPECIAL = ("<pad>", "<unk>", "<eos>")


@dataclass(frozen=True)
class Tokens:
    """N lists of ids, one after the other.

    Args:
        flat: int32 [R], all ids.
        offsets: long [N + 1]; list i is flat[offsets[i] : offsets[i + 1]].
    """

    flat: Tensor
    offsets: Tensor

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]]) -> Tokens:
        """The ids of each list."""
        flat = np.fromiter(chain.from_iterable(lists), dtype=np.int32)
        return cls.from_arrays(flat, np.fromiter(map(len, lists), dtype=np.int64, count=len(lists)))

    @classmethod
    def from_arrays(cls, flat: NDArray[np.int32], lengths: NDArray[np.int64]) -> Tokens:
        """All ids [R] and how many of them each list has [N]."""
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        return cls(torch.from_numpy(flat), torch.from_numpy(offsets))

    @classmethod
    def from_parts(cls, parts: Sequence[NDArray[np.int32]]) -> Tokens:
        """The ids of each array."""
        flat = np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)
        return cls.from_arrays(flat, np.array([len(part) for part in parts], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> Tensor:
        """The ids of one list, int32."""
        number = range(len(self))[number]
        return self.flat[int(self.offsets[number]) : int(self.offsets[number + 1])]

    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.split(self.flat, self.lengths.tolist()))

    @property
    def lengths(self) -> Tensor:
        """Ids in each list, long [N]."""
        return self.offsets.diff()

    def batch(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """The lists of `numbers` [B], padded behind with 0.

        Returns:
            ids, long [B, T] | lengths, long [B]. T is the longest of them, at least 1.
        """
        starts = self.offsets[numbers]
        lengths = self.offsets[numbers + 1] - starts
        columns = torch.arange(max(int(lengths.max()), 1) if len(lengths) else 1)
        inside = columns < lengths[:, None]  # [B, T]
        if not len(self.flat):
            return torch.zeros(inside.shape, dtype=torch.long), lengths
        places = torch.where(inside, starts[:, None] + columns, 0)
        return torch.where(inside, self.flat[places].long(), PAD), lengths

    def select(self, numbers: Tensor) -> Tokens:
        """The lists of `numbers`, in that order."""
        return self._runs(self.offsets[numbers], self.lengths[numbers])

    def cut(self, most: int) -> Tokens:
        """The first `most` ids of each list."""
        return self._runs(self.offsets[:-1], self.lengths.clamp(max=most))

    def _runs(self, starts: Tensor, lengths: Tensor) -> Tokens:
        offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
        places = torch.arange(int(offsets[-1])) + torch.repeat_interleave(starts - offsets[:-1], lengths)
        return Tokens(self.flat[places], offsets)

    def stream(self, end: int | None = END) -> Tensor:
        """All ids in one row, int32 [R]; `end`, unless None, stands after each list."""
        if end is None:
            return self.flat
        row = torch.full((len(self.flat) + len(self),), end, dtype=torch.int32)
        places = torch.arange(len(self.flat)) + torch.repeat_interleave(torch.arange(len(self)), self.lengths)
        row[places] = self.flat
        return row

    def share_unknown(self) -> float:
        """The share of ids, 0 to 1, that are `<unk>`."""
        return float((self.flat == UNKNOWN).double().mean()) if len(self.flat) else 0.0
