"""The ways in which a layer is run: equal lengths, packed, padded, one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gatework.bench.gate import Trial
from gatework.bench.shapes import Shape


def data(shape: Shape) -> tuple[Tensor, Tensor]:
    """Random input [T, B, I] that asks for its gradient, and a gradient of the outputs [T, B, H]."""
    return torch.randn(shape.T, shape.B, shape.I, requires_grad=True), torch.randn(shape.T, shape.B, shape.H)


def dense(layer: nn.Module, x: Tensor, gradient: Tensor, function: Callable[[Tensor], Any] | None = None) -> Trial:
    """A batch of equal lengths; `function` is what runs the layer, where that is not the layer itself."""
    run: Callable[[Tensor], Any] = layer if function is None else function

    def call() -> tuple[Tensor, ...]:
        y, state = run(x)
        return (y, *((state,) if isinstance(state, Tensor) else state))

    return Trial(layer, call, x, gradient)


def packed(layer: nn.Module, batch: PackedSequence, gradient: Tensor) -> Trial:
    """A PackedSequence that is there already."""

    def call() -> tuple[Tensor, ...]:
        y, (h, c) = layer(batch)
        return y.data, h, c

    return Trial(layer, call, batch.data, gradient)


def pack_and_pad(layer: nn.Module, x: Tensor, gradient: Tensor, lengths: Tensor) -> Trial:
    """A padded batch through a layer that takes only packed ones, to padded outputs."""

    def call() -> tuple[Tensor, ...]:
        y, (h, c) = layer(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return pad_packed_sequence(y)[0], h, c

    return Trial(layer, call, x, gradient)


def by_lengths(layer: nn.Module, x: Tensor, gradient: Tensor, lengths: Tensor) -> Trial:
    """A padded batch through a layer that takes lengths."""

    def call() -> tuple[Tensor, ...]:
        y, (h, c) = layer(x, lengths=lengths)
        return y, h, c

    return Trial(layer, call, x, gradient)


def stepwise(layer: nn.Module, x: Tensor, gradient: Tensor) -> Trial:
    """Every time step a call of its own that goes on from the state of the one before; returns the last outputs."""
    steps, zeros = torch.split(x.detach(), 1), gradient.new_zeros(1, *gradient.shape[1:])

    def call() -> tuple[Tensor, ...]:
        state = zeros, zeros
        for xt in steps:
            y, state = layer(xt, state)
        return (y, *state)

    return Trial(layer, call, x, gradient)
