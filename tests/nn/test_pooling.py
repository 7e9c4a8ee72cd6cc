"""Pooling: what it gives for each row alone, whatever stands in the padding."""

from __future__ import annotations

import pytest
import torch

from gatework.errors import InputError
from gatework.nn import Pooling

B, T, W = 4, 6, 8
LENGTHS = [6, 2, 0, 3]
KINDS = "attention", "mean", "max", "last", "concat"


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reads", ["forward", "backward", "both"])
def test_a_row_is_pooled_as_if_it_were_alone(kind: str, reads: str):
    pool, y = Pooling(kind, W, reads), torch.randn(B, T, W)
    beyond = (torch.arange(T) >= torch.tensor(LENGTHS).unsqueeze(1)).unsqueeze(-1)
    pooled, weights = pool(y.masked_fill(beyond, float("nan")), LENGTHS)
    assert pooled.shape == (B, pool.width)
    for row, length in enumerate(LENGTHS):
        if length:
            alone, own = pool(y[row : row + 1, :length])
            torch.testing.assert_close(pooled[row], alone[0])
            if weights is not None:
                torch.testing.assert_close(weights[row, :length], own[0])
        else:
            assert pooled[row].abs().sum() == 0


def test_what_each_kind_means():
    y = torch.randn(1, T, W)
    assert torch.equal(Pooling("max", W)(y)[0][0], y[0].amax(0))
    torch.testing.assert_close(Pooling("mean", W)(y)[0][0], y[0].mean(0))
    assert torch.equal(Pooling("last", W)(y, [4])[0][0], y[0, 3])
    assert torch.equal(Pooling("last", W, "backward")(y, [4])[0][0], y[0, 0])
    assert torch.equal(Pooling("last", W, "both")(y, [4])[0][0], torch.cat([y[0, 3, : W // 2], y[0, 0, W // 2 :]]))
    last, largest, mean = Pooling("concat", W)(y)[0][0].split(W)
    assert torch.equal(last, y[0, -1]) and torch.equal(largest, y[0].amax(0))
    torch.testing.assert_close(mean, y[0].mean(0))


def test_attention_weights_sum_to_one_and_weigh_what_is_pooled():
    pool, y = Pooling("attention", W), torch.randn(B, T, W)
    pooled, weights = pool(y, LENGTHS)
    torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 1.0, 0.0, 1.0]))
    assert weights[1, 2:].abs().sum() == 0
    torch.testing.assert_close(pooled, torch.einsum("bt,btw->bw", weights, y))
    expected = pool.score(torch.tanh(pool.projection(y[0]))).squeeze(-1).softmax(0)
    torch.testing.assert_close(weights[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_without_any_step(kind: str):
    pooled, _ = Pooling(kind, W)(torch.zeros(2, 0, W), [0, 0])
    assert pooled.abs().sum() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_no_gradient_is_nan_and_none_reaches_the_padding(kind: str):
    y = torch.randn(B, T, W, requires_grad=True)
    Pooling(kind, W)(y, LENGTHS)[0].square().sum().backward()
    beyond = torch.arange(T) >= torch.tensor(LENGTHS).unsqueeze(1)
    assert y.grad.isfinite().all() and y.grad[beyond].abs().sum() == 0 and y.grad[~beyond].abs().sum() > 0


def test_bad_arguments_are_refused():
    with pytest.raises(InputError, match="kind is 'sum'; expected one of attention"):
        Pooling("sum", W)
    with pytest.raises(InputError, match="reads is 'up'"):
        Pooling("last", W, "up")
    with pytest.raises(InputError, match="width is 7"):
        Pooling("last", 7, "both")
    with pytest.raises(InputError, match=r"lengths has shape \(2,\); expected \(4,\)"):
        Pooling("mean", W)(torch.zeros(B, T, W), [1, 2])
