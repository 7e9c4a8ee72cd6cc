"""`LSTM`, `GRU` and `RNN` in place of torch.nn's: names, shapes, numbers and gradients, both ways."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import gatework.nn as gnn

KINDS = ["LSTM", "GRU", "RNN"]
SWITCHES = list(itertools.product([1, 2, 3], [True, False], [True, False], [True, False]))
T, B, I, H = 6, 4, 5, 7  # noqa: E741
# The same sums in another order over 6 steps of 12 products: norm-wise 1e-6 in float32; twice as much is allowed.
CLOSE = {"rtol": 1e-5, "atol": 2e-6}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def pair(kind: str, **options: object):
    theirs = getattr(torch.nn, kind)(I, H, **options)
    ours = getattr(gnn, kind)(I, H, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def as_list(state) -> list[torch.Tensor]:
    return [state] if isinstance(state, torch.Tensor) else list(state)


def state(kind: str, *shape: int):
    made = [torch.randn(*shape, requires_grad=True) for _ in range(2 if kind == "LSTM" else 1)]
    return made[0] if kind != "LSTM" else tuple(made)


@pytest.mark.parametrize(("num_layers", "bias", "batch_first", "bidirectional"), SWITCHES)
@pytest.mark.parametrize("kind", KINDS)
def test_constructor_arguments(kind: str, num_layers: int, bias: bool, batch_first: bool, bidirectional: bool):
    options = {"num_layers": num_layers, "bias": bias, "batch_first": batch_first, "bidirectional": bidirectional}
    ours, theirs = pair(kind, **options)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    shapes = [[[weight.shape for weight in part] for part in layer.all_weights] for layer in (ours, theirs)]
    assert shapes[0] == shapes[1]
    x = torch.randn(B, T, I) if batch_first else torch.randn(T, B, I)
    D = 2 if bidirectional else 1
    for hx in (None, state(kind, D * num_layers, B, H)):
        results = [(y, *as_list(s)) for y, s in (ours(x, hx), theirs(x, hx))]
        assert [r.shape for r in results[0]] == [r.shape for r in results[1]]
        for a, b in zip(*results, strict=True):
            torch.testing.assert_close(a, b, **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [*KINDS, "RNN-relu"])
def test_gradients(kind: str, dtype: torch.dtype):
    kind, _, nonlinearity = kind.partition("-")
    options = {"nonlinearity": nonlinearity} if nonlinearity else {}
    ours, theirs = pair(kind, num_layers=2, bidirectional=True, dtype=dtype, **options)
    x, hx = torch.randn(T, B, I, dtype=dtype), [s.detach().to(dtype) for s in as_list(state(kind, 4, B, H))]
    found = []
    for layer in (ours, theirs):
        x, hx = x.detach().requires_grad_(), [s.detach().requires_grad_() for s in hx]
        y, finals = layer(x, hx[0] if len(hx) == 1 else tuple(hx))
        total = y.square().sum() + sum(f.square().sum() for f in as_list(finals))
        found.append(torch.autograd.grad(total, [x, *hx, *layer.parameters()]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, **({"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {}))


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_one_sequence_without_a_batch(kind: str, with_state: bool, batch_first: bool):
    ours, theirs = pair(kind, num_layers=2, bidirectional=True, batch_first=batch_first)
    x, hx = torch.randn(T, I), state(kind, 4, H) if with_state else None
    (y, finals), (expected, expected_finals) = ours(x, hx), theirs(x, hx)
    for a, b in zip((y, *as_list(finals)), (expected, *as_list(expected_finals)), strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, **CLOSE)


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize("with_state", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences(kind: str, with_state: bool, enforce_sorted: bool):
    ours, theirs = pair(kind, num_layers=2, bidirectional=True)
    lengths = [6, 4, 4, 1] if enforce_sorted else [4, 1, 6, 4]
    packed = pack_sequence([torch.randn(n, I) for n in lengths], enforce_sorted)
    hx = state(kind, 4, B, H) if with_state else None
    found = []
    for layer in (ours, theirs):
        data = packed.data.detach().requires_grad_()
        x = PackedSequence(data, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
        y, finals = layer(x, hx)
        assert isinstance(y, PackedSequence)
        assert torch.equal(y.batch_sizes, packed.batch_sizes)
        for index in ("sorted_indices", "unsorted_indices"):
            a, b = getattr(y, index), getattr(packed, index)
            assert (a is None) == (b is None) and (a is None or torch.equal(a, b))
        total = y.data.square().sum() + sum(f.square().sum() for f in as_list(finals))
        found.append([y.data, *as_list(finals), *torch.autograd.grad(total, [data, *layer.parameters()])])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_batch_and_no_time(kind: str):
    ours, theirs = pair(kind)
    y, finals = ours(torch.randn(T, 0, I))
    expected, expected_finals = theirs(torch.randn(T, 0, I))
    assert y.shape == expected.shape
    assert [f.shape for f in as_list(finals)] == [f.shape for f in as_list(expected_finals)]
    hx = state(kind, 1, B, H)
    y, finals = ours(torch.randn(0, B, I), hx)  # torch.nn refuses this one; nothing to compute leaves the state
    assert y.shape == (0, B, H)
    assert all(torch.equal(a, b) for a, b in zip(as_list(finals), as_list(hx), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_between_layers_in_training_only(kind: str):
    ours, theirs = pair(kind, num_layers=3, dropout=0.5)
    x = torch.randn(T, B, I)
    torch.testing.assert_close(ours.eval()(x)[0], theirs.eval()(x)[0], **CLOSE)
    ours.train()
    assert not torch.equal(ours(x)[0], ours(x)[0])
    torch.manual_seed(1)
    first = ours(x)[0]
    torch.manual_seed(1)
    assert torch.equal(first, ours(x)[0])
    assert not (first == 0).any(), "the last layer's outputs are not dropped"


def test_all_dropped_leaves_the_biases():
    layer = gnn.GRU(I, H, num_layers=2, dropout=1.0)
    x = torch.randn(T, B, I)
    assert torch.equal(layer(x)[0], layer(x + 1)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_start_of_parameters(kind: str):
    """As torch.nn: every parameter uniform within 1/sqrt(H)."""
    layer = getattr(gnn, kind)(40, 100)
    for parameter in layer.parameters():
        assert parameter.detach().abs().max() <= 0.1
        assert parameter.detach().std() == pytest.approx(0.1 / 3**0.5, rel=0.2)


def test_seed_gives_torchs_numbers():
    torch.manual_seed(3)
    theirs = torch.nn.LSTM(I, H, num_layers=2, bidirectional=True).state_dict()
    torch.manual_seed(3)
    ours = gnn.LSTM(I, H, num_layers=2, bidirectional=True).state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_runs(kind: str):
    """No kernel so far: the reference in bfloat16, close to torch's."""
    ours, theirs = pair(kind)
    x = torch.randn(T, B, I)
    expected = theirs(x)[0]
    y = ours.bfloat16()(x.bfloat16())[0]
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, rtol=0.05, atol=0.05)
