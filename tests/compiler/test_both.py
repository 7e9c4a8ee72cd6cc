"""Both directions of a layer at once give what one after the other gives."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from gatework.cells import Cell, noise, per_step
from gatework.compiler import call
from gatework.nn import GRU, LSTM, Recurrent
from tests.conformance.comparison import TOLERANCE, as_list, distance

T, B, I, H = 9, 3, 4, 20  # noqa: E741


class Drawn(Cell):
    """Noise, and an input at each step."""

    state = "h"
    gates = "a"
    e = per_step("dt")
    n = noise("u")

    def step(self, x, s, U, e, n):
        return torch.tanh(x.a + U.a @ s.h) * e.dt + (n.u < 0.5) * s.h


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many calls ran at once, each time that some did; on two threads."""
    torch.manual_seed(0)
    torch.set_num_threads(2)
    seen, run = [], call.run_at_once
    monkeypatch.setattr(call, "run_at_once", lambda *a: (seen.append(len(a[2])), run(*a))[1])
    yield seen
    torch.set_num_threads(1)


def results(
    layer: Recurrent, x: Tensor, lengths: list[int] | None, packed: bool, extra: dict[str, Tensor]
) -> list[Tensor]:
    torch.manual_seed(1)  # of the noise
    given = x.detach().to(layer.weight_ih_l0.dtype).requires_grad_()
    more = {name: value.detach().to(given.dtype).requires_grad_() for name, value in extra.items()}
    if packed:
        y, finals = layer(pack_padded_sequence(given, torch.tensor(lengths), layer.batch_first))
        y = y.data
    else:
        y, finals = layer(given, lengths=lengths, extra=more or None)
    found = [y, *as_list(finals)]
    loss = sum((v * torch.linspace(-1, 1, v.numel(), dtype=v.dtype).view_as(v)).sum() for v in found)
    return [*found, *torch.autograd.grad(loss, [given, *more.values(), *layer.parameters()])]


@pytest.mark.parametrize("form", ["dense", "padded", "packed"])
@pytest.mark.parametrize("cell", ["lstm", "gru", Drawn])
def test_values_and_gradients(cell: str | type[Cell], form: str, runs: list[int]):
    for first, layers in ((False, 1), (True, 2)):
        options = {"num_layers": layers, "bidirectional": True, "batch_first": first}
        tested, truth = (
            Recurrent(cell, I, H, backend=backend, dtype=dtype, **options)
            for backend, dtype in (("cpp", torch.float32), ("reference", torch.float64))
        )
        truth.load_state_dict({name: value.double() for name, value in tested.state_dict().items()})
        shape = (B, T) if first else (T, B)
        lengths = None if form == "dense" else [T, 4, 1]
        extra = {"dt": torch.rand(*shape, 1)} if cell is Drawn and form != "packed" else {}
        if cell is Drawn and form == "packed":
            continue
        x = torch.randn(*shape, I)
        pair = [results(layer, x, lengths, form == "packed", extra) for layer in (truth, tested)]
        assert all(distance(b, a) <= TOLERANCE[torch.float32] for a, b in zip(*pair, strict=True))
        assert runs == [2] * (2 * layers), "forward and backward of every layer"
        runs.clear()
        with torch.no_grad():
            torch.manual_seed(1)
            if form != "packed":
                assert distance(tested(x, lengths=lengths, extra=extra or None)[0], pair[0][0]) <= 1e-5
        runs.clear()


def test_only_some_gradients_and_those_of_gradients(runs: list[int]):
    layer = LSTM(I, H, bidirectional=True, dtype=torch.float64)
    slow = Recurrent(layer.cell, I, H, bidirectional=True, backend="reference", dtype=torch.float64)
    slow.load_state_dict(layer.state_dict())
    for k, parameter in enumerate(layer.parameters()):
        parameter.requires_grad_(k % 3 > 0)
    x = torch.randn(T, B, I, dtype=torch.float64)
    found = []
    for model in (layer, slow):
        given = x.clone().requires_grad_()
        y, (h, _) = model(given)
        (first,) = torch.autograd.grad(y.square().sum() + h.sum(), given, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), given)
        found.append((first, second))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)
    loss = layer(x)[0].sum()
    loss.backward()
    slow(x)[0].sum().backward()
    for mine, other in zip(layer.parameters(), slow.parameters(), strict=True):
        if mine.requires_grad:
            torch.testing.assert_close(mine.grad, other.grad)
        else:
            assert mine.grad is None


def test_one_after_the_other_where_that_is_as_fast(runs: list[int]):
    """Large weights, many rows, one thread, many threads, the reference."""
    with torch.no_grad():
        GRU(I, 300, bidirectional=True)(torch.randn(T, B, I))
        GRU(I, H, bidirectional=True)(torch.randn(T, 40, I))
        Recurrent("gru", I, H, bidirectional=True, backend="reference")(torch.randn(T, B, I))
        for threads in (1, 8):
            torch.set_num_threads(threads)
            GRU(I, H, bidirectional=True)(torch.randn(T, B, I))
    assert runs == []
