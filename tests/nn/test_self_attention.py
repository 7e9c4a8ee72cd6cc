"""Self-attention: against a loop over its equations, windows, and what it carries."""

from __future__ import annotations

import cmath

import pytest
import torch
from torch.nn import functional

from gatework.errors import InputError
from gatework.nn import SelfAttention

B, T, W = 3, 11, 10
# Sums run in another order, and rotations are relative to where a piece begins.
CLOSE = {"rtol": 1e-4, "atol": 2e-6}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def by_the_equations(net: SelfAttention, x: torch.Tensor, window: int | None) -> torch.Tensor:
    """One sequence [T, W], one query after the other."""
    for layer in net.layers:
        S = layer.size
        q, k, v = layer.qkv(layer.first(x)).view(len(x), 3, layer.heads, S).unbind(1)
        rows = []
        for i in range(len(x)):
            keys = range(len(x)) if window is None else range(max(0, i - window + 1), i + 1)
            heads = []
            for head in range(layer.heads):
                scores = []
                for j in keys:
                    total = 0.0
                    for pair in range(S // 2):  # features as complex numbers, turned by their distance
                        turn = cmath.exp(1j * (i - j) * 10_000.0 ** (-pair / (S // 2)))
                        a = complex(q[i, head, pair], q[i, head, pair + S // 2])
                        b = complex(k[j, head, pair], k[j, head, pair + S // 2])
                        total += (a * turn * b.conjugate()).real
                    scores.append(total / S**0.5)
                heads.append(torch.tensor(scores).softmax(0) @ v[list(keys), head])
            rows.append(torch.cat(heads))
        x = x + layer.out(torch.stack(rows))
        x = x + layer.narrow(functional.gelu(layer.wide(layer.second(x))))
    return net.norm(x)


@torch.no_grad()
@pytest.mark.parametrize("window", [None, 1, 4, 50])
def test_it_is_what_the_equations_say(window: int | None):
    net = SelfAttention(W, 2, 3, causal=window is not None, window=window or 1).eval()
    x = torch.randn(1, T, W)
    torch.testing.assert_close(net(x)[0][0], by_the_equations(net, x[0], window), **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("window", [1, 2, 5])
def test_a_long_sequence_in_pieces_of_its_own_is_the_whole(window: int, monkeypatch: pytest.MonkeyPatch):
    net, x, lengths = SelfAttention(W, 2, 2, causal=True, window=window).eval(), torch.randn(B, 30, W), [30, 3, 17]
    found, state = net(x, None, lengths)
    monkeypatch.setattr("gatework.nn.self_attention._PIECES", 1000)
    expected, whole = net(x, None, lengths)
    torch.testing.assert_close(found, expected, **CLOSE)
    y = torch.randn(B, 2, W)
    torch.testing.assert_close(net(y, state)[0], net(y, whole)[0], **CLOSE)


@torch.no_grad()
def test_the_state_does_not_grow():
    net, state = SelfAttention(W, 1, 2, causal=True, window=5).eval(), None
    for _ in range(9):
        _, state = net(torch.randn(B, 1, W), state)
    assert [tuple(part.shape) for part in state] == [(2, B, 4, 12), (1, B)]
    assert state[1].tolist() == [[4] * B]


def test_bidirectional_layers_carry_nothing():
    assert SelfAttention(W)(torch.randn(B, T, W))[1] == ()


def test_rows_without_steps_give_zeros_and_no_nan():
    for causal in (False, True):
        x = torch.randn(2, 4, W, requires_grad=True)
        net = SelfAttention(W, causal=causal)
        y, _ = net(x, None, [0, 3])
        assert y[0].abs().sum() == 0 and y[1, 3].abs().sum() == 0
        y.square().sum().backward()
        assert x.grad.isfinite().all() and all(value.grad.isfinite().all() for value in net.parameters())


@pytest.mark.parametrize("name", ["width", "layers", "heads", "window"])
def test_sizes_below_one_are_refused(name: str):
    with pytest.raises(InputError, match=f"{name} is 0; expected a whole number >= 1"):
        SelfAttention(**{"width": W, name: 0})
