"""Sequences of unequal length, so that padding is never computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gatework.errors import InputError


@dataclass(frozen=True, eq=False)
class Ragged:
    """How long the sequences of a batch are.

    Attributes:
        sizes, offsets: rows that are still running at each time step [T'], falling, none 0, and the packed row at
            which each time step begins.
        lengths: [B] lengths, falling.
        order: [B] the batch's rows by falling length; None when packed, where rows lie in that order.
        packed: inputs and outputs are packed rows [N, ...] instead of padded [T, B, ...].
    """

    sizes: Tensor
    offsets: Tensor
    lengths: Tensor
    order: Tensor | None
    packed: bool

    @cached_property
    def batch_sizes(self) -> tuple[int, ...]:
        """`sizes` as numbers, which torch.compile and torch.export cannot know."""
        return tuple(self.sizes.tolist())

    @property
    def empty(self) -> bool:
        """Whether every sequence is empty, as far as that is known: not while something traces."""
        return not torch.compiler.is_compiling() and self.sizes.numel() == 0

    @classmethod
    def of_lengths(cls, lengths: Tensor | Sequence[int], T: int, B: int) -> Ragged:
        """Plan a padded batch.

        Raises InputError unless there is one whole number in 0..T for each of the B rows.
        """
        try:
            given = torch.as_tensor(lengths, device="cpu")
        except (TypeError, ValueError) as error:
            raise InputError(f"lengths is {lengths!r}; expected {B} whole numbers, one for each row.") from error
        if given.shape != (B,):
            raise InputError(
                f"lengths has shape {tuple(given.shape)}; expected ({B},), one length for each row of the batch."
            )
        if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
            raise InputError(f"lengths is {given.dtype}; expected whole numbers, such as torch.long.")
        given = given.long()
        sizes, offsets, falling, order = plan_op(given, T) if torch.compiler.is_compiling() else _plan(given, T)
        return cls(sizes, offsets, falling, order, False)

    @classmethod
    def of_packed(cls, packed: PackedSequence) -> Ragged:
        """The lengths that a PackedSequence carries."""
        sizes = packed.batch_sizes
        B = int(sizes[0])
        lengths = (sizes[None, :] > torch.arange(B)[:, None]).sum(1)
        return cls(sizes, sizes.cumsum(0) - sizes, lengths, None, True)

    def between(self, start: int, stop: int) -> Ragged:
        """The steps start..stop alone: what each sequence has of them, rows in the same order."""
        sizes = self.sizes[start:stop]
        lengths = (self.lengths - start).clamp(0, stop - start)
        return Ragged(sizes, sizes.cumsum(0) - sizes, lengths, self.order, self.packed)

    def _index(self, T: int, B: int, device: torch.device) -> Tensor:
        assert self.order is not None
        steps = torch.arange(len(self.batch_sizes))
        running = self.lengths[None, :] > steps[:, None]
        return (steps[:, None] * B + self.order[None, :])[running].to(device)

    def pack(self, x: Tensor) -> Tensor:
        """Padded [T, B, I] to packed [N, I]."""
        T, B, width = x.shape
        return x.reshape(T * B, width).index_select(0, self._index(T, B, x.device))

    def pad(self, y: Tensor, T: int, B: int) -> Tensor:
        """Packed [N, H] to padded [T, B, H], zero past each length."""
        return y.new_zeros((T * B, y.shape[-1])).index_copy(0, self._index(T, B, y.device), y).view(T, B, y.shape[-1])

    def sort(self, state: Tensor) -> Tensor:
        """A state [B, H] by falling length."""
        return state if self.order is None else state.index_select(0, self.order.to(state.device))

    def unsort(self, state: Tensor) -> Tensor:
        """A state [B, H] in the caller's order again."""
        return state if self.order is None else state.index_select(0, torch.argsort(self.order).to(state.device))


def _plan(lengths: Tensor, T: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sizes, offsets, falling lengths and order for lengths [B]."""
    B = len(lengths)
    if B and (int(lengths.min()) < 0 or int(lengths.max()) > T):
        row = int(((lengths < 0) | (lengths > T)).nonzero()[0])
        raise InputError(f"lengths[{row}] is {int(lengths[row])}; expected 0..{T}, since x has {T} time steps.")
    ordered, order = torch.sort(lengths, descending=True, stable=True)
    sizes = (ordered[None, :] > torch.arange(int(ordered[0]) if B else 0)[:, None]).sum(1)
    return sizes, sizes.cumsum(0) - sizes, ordered, order


@torch.library.custom_op("gatework::plan_lengths", mutates_args=())
def plan_op(lengths: Tensor, T: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`_plan` as an operator, for tracing: how many steps there are depends on the numbers in `lengths`."""
    return _plan(lengths, T)


@plan_op.register_fake
def _(lengths: Tensor, T: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    steps = torch.library.get_ctx().new_dynamic_size()
    sizes = lengths.new_empty(steps)
    return sizes, torch.empty_like(sizes), torch.empty_like(lengths), torch.empty_like(lengths)
