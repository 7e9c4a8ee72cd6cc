"""What a run over a field is given, which steps it takes together, and its states at every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gatework.compiler.field import FieldJob

_BLOCK = 16 << 20  # bytes of input products


@dataclass(frozen=True, eq=False)
class Given:
    """What a run over a field is given; a run by the reference takes the same.

    Attributes:
        x: all packed images [N, I, *spatial].
        weight, bias: of the input's convolution, [G * C, I, *kernel] and [G * C] or None.
        states: initial states by falling length, each [B, P, C] with P positions.
        weights, biases: of each operand's convolution, [n * C, C, *kernel] and [n * C] or None.
        vectors: [V, 1, C], or [V, P, C] where each position has its own.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    states: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor | None, ...]
    vectors: Tensor

    def flat(self) -> tuple[Tensor | None, ...]:
        """All tensors in one row."""
        return self.x, self.weight, self.bias, *self.states, *self.weights, *self.biases, self.vectors

    @classmethod
    def of(cls, flat: Sequence[Any], n_states: int) -> Given:
        """From what `flat` returned."""
        x, weight, bias, *rest, vectors = flat
        states, rest = rest[:n_states], rest[n_states:]
        n = len(rest) // 2
        return cls(x, weight, bias, tuple(states), tuple(rest[:n]), tuple(rest[n:]), vectors)


Results = tuple[Tensor, tuple[Tensor, ...]]


@dataclass(frozen=True)
class Block:
    """Steps `first_step` .. `end_step` in order of computation, whose packed images are `first` .. `end`."""

    first_step: int
    end_step: int
    first: int
    end: int


def blocks_of(job: FieldJob, image_bytes: int) -> list[Block]:
    """Steps that are taken together.  The first step is alone: the states before the others lie side by side."""
    most, starts, images = max(1, _BLOCK // image_bytes), [0], 0
    for k, (_, n) in enumerate(job.steps[1:], 1):
        images += n
        if k == 1 or images > most:
            starts.append(k)
            images = n
    ends = [*starts[1:], len(job.steps)]
    spans = [(job.steps[start], job.steps[end - 1]) for start, end in zip(starts, ends, strict=True)]
    return [
        Block(start, end, min(one[0], two[0]), max(sum(one), sum(two)))
        for start, end, (one, two) in zip(starts, ends, spans, strict=True)
    ]


class States:
    """One state at every time step: rows [n, P, C] of the images that run.

    `memory` is one tensor of all packed images ("whole"), one for each block ("blocks"), or two for the last two steps
    ("last"), where nobody asks for more.
    """

    def __init__(
        self, job: FieldJob, blocks: Sequence[Block], initial: Tensor, kind: str, memory: Sequence[Tensor] = ()
    ) -> None:
        self.job, self.initial, self.kind = job, initial, kind
        images = {
            "whole": [sum(job.batch_sizes)],
            "blocks": [block.end - block.first for block in blocks],
            "last": [job.batch_sizes[0]] * 2,
        }[kind]
        self.memory = list(memory) or [initial.new_empty((n, *initial.shape[1:])) for n in images]
        self.place = {  # of each step in the memory: which tensor, and its first image
            k: (b, job.steps[k][0] - block.first)
            for b, block in enumerate(blocks)
            for k in range(block.first_step, block.end_step)
        }

    def new(self, k: int) -> Tensor:
        """The state after the k-th step."""
        first, n = self.job.steps[k]
        if self.kind == "last":
            return self.memory[k % 2][:n]
        piece, start = (0, first) if self.kind == "whole" else self.place[k]
        return self.memory[piece][start : start + n]

    def old(self, k: int) -> Tensor:
        """The state before the k-th step: sequences have ended, or begin where time runs backwards."""
        n = self.job.steps[k][1]
        if not k:
            return self.initial[:n]
        before = self.new(k - 1)
        return before[:n] if n <= len(before) else torch.cat([before, self.initial[len(before) : n]])

    def final(self) -> Tensor:
        """[B, P, C]: the state after each sequence's last step."""
        last = len(self.job.steps) - 1
        parts = [self.new(last)]
        if not self.job.reverse:
            parts += [self.new(k)[self.job.steps[k + 1][1] :] for k in range(last - 1, -1, -1)]
        return torch.cat([*parts, self.initial[sum(len(p) for p in parts) :]])

    def previous(self, block: Block) -> Tensor:
        """The state before each packed image of a block."""
        steps = range(block.first_step, block.end_step)
        if len(steps) == 1:
            return self.old(steps[0])
        if self.kind == "whole" and self.job.dense:
            ago = self.job.batch * (-1 if self.job.reverse else 1)
            return self.memory[0][block.first - ago : block.end - ago]
        olds = [self.old(k) for k in steps]
        return torch.cat(olds[::-1] if self.job.reverse else olds)
