"""Truncated backpropagation through time: long sequences in pieces, the state carried and detached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gatework.compiler.ragged import Ragged
from gatework.errors import InputError
from gatework.nn.inputs import Further, State, each_state
from gatework.nn.recurrent import Recurrent


@dataclass(frozen=True)
class Piece:
    """What `truncated` yields for one piece of the sequences.

    Attributes:
        start: the first step.
        stop: the step after the last.
        output: of the last layer at these steps, [stop - start, B, D * H] or batch first as the layer is.
        state: after these steps, detached; in the form of `hx`.
    """

    start: int
    stop: int
    output: Tensor
    state: State

    @property
    def steps(self) -> slice:
        """The steps as a slice of the time axis, for targets: `target[piece.steps]`."""
        return slice(self.start, self.stop)


def truncated(
    layer: Recurrent,
    input: Tensor,
    length: int,
    hx: State | None = None,
    lengths: Tensor | Sequence[int] | None = None,
    extra: Further | None = None,
) -> Iterator[Piece]:
    """Run a layer over long sequences piece by piece, so that gradients stop where a piece begins.

    Each piece is run when it is asked for: call backward and step the optimiser in between, and only one piece is in
    memory. With one piece as long as the sequences it is the layer's own call. What is dropped for a whole sequence
    (variational dropout, weight drop) stays the same in all pieces, and positions count on.

    Args:
        layer: not bidirectional, since the future cannot be carried.
        input: [T, B, I], [B, T, I] where the layer is batch first, or [T, I] for one sequence.
        length: steps of a piece, >= 1; the last piece may be shorter.
        hx: initial states as for the layer; None means zeros.
        lengths: [B] whole numbers in 0..T; rows that have ended keep their state.
        extra: inputs of each step as for the layer.

    Yields:
        a `Piece` for each run of `length` steps, in order.

    Raises InputError for a bidirectional layer, a length below 1, and what the layer itself refuses.

    Source: Williams & Peng, Neural Computation 2 (1990), BPTT(h; h') with h = h' = length.

    Example:
        >>> from gatework.nn import LSTM
        >>> layer, x, target = LSTM(3, 5), torch.zeros(250, 4, 3), torch.zeros(250, 4, 5)
        >>> optimiser = torch.optim.SGD(layer.parameters(), 0.1)
        >>> for piece in truncated(layer, x, 100):
        ...     loss = (piece.output - target[piece.steps]).square().mean()
        ...     optimiser.zero_grad()
        ...     loss.backward()
        ...     optimiser.step()
        >>> piece.start, piece.stop
        (200, 250)
    """
    if layer.bidirectional:
        raise InputError("a bidirectional layer reads the future, which no carried state holds; use one direction.")
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise InputError(f"length is {length!r}; expected a whole number of steps >= 1.")
    if not isinstance(input, Tensor) or input.dim() not in (2, 3):
        got = f"a tensor of shape {tuple(input.shape)}" if isinstance(input, Tensor) else type(input).__name__
        raise InputError(f"input is {got}; expected [T, B, {layer.input_size}] or [T, {layer.input_size}].")
    return _pieces(layer, input, length, hx, lengths, extra)


def _pieces(
    layer: Recurrent,
    input: Tensor,
    length: int,
    hx: State | None,
    lengths: Tensor | Sequence[int] | None,
    extra: Further | None,
) -> Iterator[Piece]:
    axis = 1 if layer.batch_first and input.dim() == 3 else 0
    T, B = input.shape[axis], input.shape[1 - axis] if input.dim() == 3 else 1
    left = None if lengths is None else _lengths(lengths, T, B)
    further, seeds, state = layer.further(extra, input), layer.seeds(), hx
    for start in range(0, max(T, 1), length):
        n = min(length, T - start)
        y, state = layer(
            input.narrow(axis, start, n),
            state,
            lengths=None if left is None else (left - start).clamp(0, n),
            extra={name: value.narrow(axis, start, n) for name, value in further.items()},
            seeds=[torch.stack([seed[0], seed[1] + start]) for seed in seeds],
        )
        state = each_state(state, Tensor.detach)
        yield Piece(start, start + n, y, state)


def _lengths(lengths: Tensor | Sequence[int], T: int, B: int) -> Tensor:
    ragged = Ragged.of_lengths(lengths, T, B)  # checked once as a whole: a piece sees only what is left of them
    given = torch.empty_like(ragged.lengths)
    assert ragged.order is not None
    return given.scatter_(0, ragged.order, ragged.lengths)
