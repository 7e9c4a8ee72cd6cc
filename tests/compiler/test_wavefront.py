"""Stacked layers side by side give what one after the other gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from gatework.compiler import call
from gatework.nn import GRU, LSTM, Recurrent
from tests.conformance.comparison import TOLERANCE, as_list, distance

T, B, I, H = 41, 3, 4, 20  # noqa: E741


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many calls ran side by side, each time that some did; on two threads."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    seen, run = [], call.run_at_once
    monkeypatch.setattr(call, "run_at_once", lambda *a: (seen.append(len(a[2])), run(*a))[1])
    yield seen
    torch.set_num_threads(1)


def results(layer: Recurrent, x: Tensor, lengths: list[int] | None, packed: bool) -> list[Tensor]:
    """Outputs, final states and all gradients of a loss that weighs every number differently."""
    given = x.detach().to(layer.weight_ih_l0.dtype).requires_grad_()
    if packed:
        y, finals = layer(pack_padded_sequence(given, torch.tensor(lengths), layer.batch_first))
        y = y.data
    else:
        y, finals = layer(given, lengths=lengths)
    found = [y, *as_list(finals)]
    loss = sum((v * torch.linspace(-1, 1, v.numel(), dtype=v.dtype).view_as(v)).sum() for v in found)
    return [*found, *torch.autograd.grad(loss, [given, *layer.parameters()])]


@pytest.mark.parametrize("form", ["dense", "padded", "packed"])
@pytest.mark.parametrize(("cell", "layers"), [("lstm", 2), ("gru", 5)])
def test_values_and_gradients(cell: str, layers: int, form: str, runs: list[int]):
    for first in (False, True):
        tested, truth = (
            Recurrent(cell, I, H, layers, batch_first=first, backend=backend, dtype=dtype)
            for backend, dtype in (("cpp", torch.float32), ("reference", torch.float64))
        )
        truth.load_state_dict({name: value.double() for name, value in tested.state_dict().items()})
        x = torch.randn(*((B, T) if first else (T, B)), I)
        lengths = None if form == "dense" else [T, 33, 5]
        pair = [results(layer, x, lengths, form == "packed") for layer in (truth, tested)]
        assert all(distance(b, a) <= 2 * TOLERANCE[torch.float32] for a, b in zip(*pair, strict=True))
        with torch.no_grad():
            if form != "packed":
                assert distance(tested(x, lengths=lengths)[0], pair[0][0]) <= 1e-5
        assert runs[:2] == [layers] * 2, "forward and backward"
        runs.clear()


def test_many_times_the_same(runs: list[int]):
    """Threads that read from one another give equal bits every time."""
    layer, x = LSTM(I, H, 4), torch.randn(300, 1, I)
    first = results(layer, x, None, False)
    for _ in range(30):
        assert all(torch.equal(a, b) for a, b in zip(first, results(layer, x, None, False), strict=True))
    assert len(runs) == 62


def test_some_gradients_and_those_of_gradients(runs: list[int]):
    layer = LSTM(I, 5, 2, dtype=torch.float64)
    slow = Recurrent(layer.cell, I, 5, 2, backend="reference", dtype=torch.float64)
    slow.load_state_dict(layer.state_dict())
    x, found = torch.randn(T, 2, I, dtype=torch.float64), []
    for model in (layer, slow):
        given = x.clone().requires_grad_()
        y, (h, _) = model(given)
        (first,) = torch.autograd.grad(y.square().sum() + h.sum(), given, create_graph=True)
        second = torch.autograd.grad(first.square().sum(), [given, *model.parameters()])
        found.append((first, *second))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    layer.weight_ih_l0.requires_grad_(False)
    layer(x)[1][1][0].sum().backward()  # a final state of the first layer: the second has no part in it
    slow(x)[1][1][0].sum().backward()
    assert layer.weight_ih_l0.grad is None
    torch.testing.assert_close(layer.weight_hh_l0.grad, slow.weight_hh_l0.grad)


def test_one_after_the_other_where_that_is_as_fast(runs: list[int]):
    """Large steps, many rows, short sequences, dropout between, other numbers of threads."""
    with torch.no_grad():
        GRU(I, 200, 2)(torch.randn(T, B, I))
        GRU(I, H, 2)(torch.randn(T, 40, I))
        GRU(I, H, 2)(torch.randn(9, B, I))
        GRU(I, H, 2, dropout=0.5)(torch.randn(T, B, I))
        GRU(I, H, 1)(torch.randn(T, B, I))
        for threads in (1, 8):
            torch.set_num_threads(threads)
            GRU(I, H, 2)(torch.randn(T, B, I))
    assert runs == []
