"""Sequences of unequal length: packed rows, time by time, so that padding is never computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gatework.errors import InputError


@dataclass(frozen=True)
class Packing:
    """How the rows of a padded batch [T, B] lie when packed [N].

    Attributes:
        batch_sizes: rows at each time step, falling, sum N.
        order: [B] the batch's rows by falling length, or None when they are in that order already.
        inverse: [B] the way back, or None.
        index: [N] position of each packed row in the flattened [T * B]; None for a PackedSequence.
    """

    batch_sizes: tuple[int, ...]
    order: Tensor | None
    inverse: Tensor | None
    index: Tensor | None = None

    @classmethod
    def of_lengths(cls, lengths: Tensor | Sequence[int], T: int, B: int, device: torch.device) -> Packing:
        """Plan the packing of a padded batch.

        Raises InputError unless there is one whole number in 0..T for each of the B rows.
        """
        given = torch.as_tensor(lengths, device="cpu")
        if given.shape != (B,):
            raise InputError(f"lengths has shape {tuple(given.shape)}; expected ({B},), one length for each row of the batch.")
        if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
            raise InputError(f"lengths is {given.dtype}; expected whole numbers, such as torch.long.")
        given = given.long()
        if B and (int(given.min()) < 0 or int(given.max()) > T):
            row = int(((given < 0) | (given > T)).nonzero()[0])
            raise InputError(f"lengths[{row}] is {int(given[row])}; expected 0..{T}, since x has {T} time steps.")
        ordered, order = torch.sort(given, descending=True, stable=True)
        active = torch.arange(T)[:, None] < ordered[None, :]  # [T, B]
        sizes = active.sum(1)
        index = (torch.arange(T)[:, None] * B + order[None, :])[active]
        batch_sizes = tuple(n for n in sizes.tolist() if n)
        return cls(batch_sizes, order.to(device), torch.argsort(order).to(device), index.to(device))

    @classmethod
    def of_packed(cls, packed: PackedSequence) -> Packing:
        """The packing that a PackedSequence carries."""
        return cls(tuple(packed.batch_sizes.tolist()), packed.sorted_indices, packed.unsorted_indices)

    def pack(self, x: Tensor) -> Tensor:
        """[T, B, I] to [N, I]."""
        assert self.index is not None
        return x.reshape(-1, x.shape[-1]).index_select(0, self.index)

    def pad(self, y: Tensor, T: int, B: int) -> Tensor:
        """[N, H] to [T, B, H]; rows past their length are zero."""
        assert self.index is not None
        return y.new_zeros((T * B, y.shape[-1])).index_copy(0, self.index, y).view(T, B, -1)

    def sort(self, state: Tensor) -> Tensor:
        """A state [..., B, H] in the packing's order."""
        return state if self.order is None else state.index_select(-2, self.order)

    def unsort(self, state: Tensor) -> Tensor:
        """A state [..., B, H] in the caller's order."""
        return state if self.inverse is None else state.index_select(-2, self.inverse)
