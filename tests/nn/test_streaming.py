"""State carried between calls equals one long call: pieces, single steps, truncated backpropagation."""

from __future__ import annotations

import pytest
import torch

from gatework.nn import Recurrent

CELLS = "rnn", "lstm", "peephole-lstm", "gru", "gru-reset-before", "layer-norm-lstm", "indy-lstm", "min-gru"
T, I = 9, 5  # noqa: E741
# The kernel for a single step adds up in another order than the one for sequences.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def as_list(state) -> list[torch.Tensor]:
    return [state] if isinstance(state, torch.Tensor) else list(state)


@pytest.mark.parametrize("grad", [False, True], ids=["no-grad", "grad"])
@pytest.mark.parametrize("pieces", [[1] * T, [4, 5], [2, 0, 7], [1, 8]], ids=str)
@pytest.mark.parametrize("B", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
def test_pieces_equal_the_whole(cell: str, B: int, pieces: list[int], grad: bool):
    for H in (1, 16, 37):
        layer = Recurrent(cell, I, H, num_layers=2)
        x = torch.randn(T, B, I)
        with torch.set_grad_enabled(grad):
            whole, finals = layer(x)
            state, outputs = None, []
            for part in x.split(pieces):
                y, state = layer(part, state)
                outputs.append(y)
        torch.testing.assert_close(torch.cat(outputs), whole, **CLOSE)
        for a, b in zip(as_list(state), as_list(finals), strict=True):
            torch.testing.assert_close(a, b, **CLOSE)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_through_the_carried_state(cell: str):
    layer, x = Recurrent(cell, I, 13, num_layers=2), torch.randn(T, 3, I)
    found = []
    for pieces in ([T], [1, 4, 4], [1] * T):
        state, total = None, torch.zeros(())
        for part in x.split(pieces):
            y, state = layer(part, state)
            total = total + y.square().sum()
        found.append(torch.autograd.grad(total + sum(s.sum() for s in as_list(state)), list(layer.parameters())))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_truncated_backpropagation(cell: str):
    """With the state detached, gradients of each piece are those of the piece alone."""
    layer, x = Recurrent(cell, I, 13), torch.randn(T, 3, I)
    first, state = layer(x[:4])
    state = tuple(s.detach() for s in state) if isinstance(state, tuple) else state.detach()
    carried = torch.autograd.grad(layer(x[4:], state)[0].square().sum(), list(layer.parameters()), retain_graph=True)
    fresh = [s.clone().requires_grad_() for s in as_list(state)]
    alone = torch.autograd.grad(
        layer(x[4:], fresh[0] if len(fresh) == 1 else tuple(fresh))[0].square().sum(), list(layer.parameters())
    )
    assert all(torch.equal(a, b) for a, b in zip(carried, alone, strict=True))
    assert first.requires_grad


@pytest.mark.parametrize("cell", CELLS)
def test_ragged_rows_go_on_where_they_ended(cell: str):
    layer, x = Recurrent(cell, I, 13), torch.randn(T, 3, I)
    lengths, rest = [2, 9, 5], [7, 0, 4]
    _, state = layer(x, lengths=lengths)
    remaining = torch.zeros(7, 3, I)
    for b, (start, n) in enumerate(zip(lengths, rest, strict=True)):
        remaining[:n, b] = x[start : start + n, b]
    _, state = layer(remaining, state, lengths=rest)
    for a, b in zip(as_list(state), as_list(layer(x)[1]), strict=True):
        torch.testing.assert_close(a, b, **CLOSE)


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_is_not_written_to(cell: str):
    layer = Recurrent(cell, I, 13)
    with torch.no_grad():
        _, state = layer(torch.randn(2, 1, I))
        before = [s.clone() for s in as_list(state)]
        for T in (1, 2):
            layer(torch.randn(T, 1, I), state)
    assert all(torch.equal(a, b) for a, b in zip(as_list(state), before, strict=True))


@pytest.mark.parametrize("cell", CELLS)
def test_one_sequence_is_streamed_too(cell: str):
    layer, x = Recurrent(cell, I, 13), torch.randn(T, I)
    whole, _ = layer(x)
    state, outputs = None, []
    for t in range(T):
        y, state = layer(x[t : t + 1], state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs), whole, **CLOSE)
