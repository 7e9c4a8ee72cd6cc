"""Padding never leaks: a batch of one equals its row in a batch of many, both ways, for each kernel class."""

from __future__ import annotations

import pytest
import torch

from gatework.nn import Recurrent
from tests.conformance.comparison import CELLS, EXAMPLES, TOLERANCE, as_list, as_state, distance

LENGTHS = (3, 7, 0, 1, 7, 5, 2, 6, 4)
T, B, I, H = 7, len(LENGTHS), 5, 19  # noqa: E741
# Only the order of additions differs between a row alone and a row in a batch.
CLOSE = {"cpp": TOLERANCE[torch.float32], "reference": TOLERANCE[torch.float32]}


def layer(cell: str, backend: str, **options: object) -> Recurrent:
    return Recurrent(CELLS[cell], I, H, num_layers=2, bidirectional=True, backend=backend, **options)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("backend", CLOSE)
@pytest.mark.parametrize("cell", EXAMPLES)
def test_batch_of_one_equals_its_row(cell: str, backend: str, threads: int):
    torch.set_num_threads(threads)
    net = layer(cell, backend)
    x = torch.randn(T, B, I, requires_grad=True)
    states = [torch.randn(4, B, H, requires_grad=True) for _ in net.cell.states]
    y, finals = net(x, as_state(states), lengths=LENGTHS)
    weights = [torch.randn_like(r) for r in (y, *as_list(finals))]
    sum((r * w).sum() for r, w in zip((y, *as_list(finals)), weights, strict=True)).backward()
    alone: dict[str, torch.Tensor] = {name: torch.zeros_like(p) for name, p in net.named_parameters()}
    together = {name: p.grad.clone() for name, p in net.named_parameters()}
    for b, length in enumerate(LENGTHS):
        net.zero_grad()
        row = x[:length, b : b + 1].detach().requires_grad_()
        own = [s[:, b : b + 1].detach().requires_grad_() for s in states]
        y1, finals1 = net(row, as_state(own))
        results = zip((y1, *as_list(finals1)), weights, strict=True)
        sum((r * w[: r.shape[0], b : b + 1]).sum() for r, w in results).backward()
        assert distance(y[:length, b : b + 1], y1) <= CLOSE[backend]
        for final, final1, s, s1 in zip(as_list(finals), as_list(finals1), states, own, strict=True):
            assert distance(final[:, b : b + 1], final1) <= CLOSE[backend]
            assert distance(s.grad[:, b : b + 1], s1.grad) <= CLOSE[backend]
        if length:
            assert distance(x.grad[:length, b : b + 1], row.grad) <= CLOSE[backend]
            alone = {name: alone[name] + p.grad for name, p in net.named_parameters()}
    assert {name: e for name in alone if (e := distance(together[name], alone[name])) > CLOSE[backend]} == {}


@pytest.mark.parametrize("batch_first", [False, True], ids=["time-first", "batch-first"])
@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("cell", EXAMPLES)
def test_what_lies_in_the_padding_does_not_matter(cell: str, garbage: float, batch_first: bool):
    net = layer(cell, "cpp", batch_first=batch_first)
    clean = torch.zeros(T, B, I)
    for b, length in enumerate(LENGTHS):
        clean[:length, b] = torch.randn(length, I)
    past = torch.arange(T)[:, None] >= torch.tensor(LENGTHS)[None]
    dirty = clean.masked_fill(past[..., None], garbage)
    results = []
    for x in (clean, dirty):
        net.zero_grad()
        x = (x.transpose(0, 1) if batch_first else x).detach().requires_grad_()
        y, finals = net(x, lengths=LENGTHS)
        (y.square().sum() + sum(f.sum() for f in as_list(finals))).backward()
        y, dx = (t.transpose(0, 1) if batch_first else t for t in (y, x.grad))
        assert (y[past] == 0).all() and (dx[past] == 0).all(), "padding comes out as zero, and so does its gradient"
        results.append([y, dx, *as_list(finals), *(p.grad for p in net.parameters())])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cell", EXAMPLES)
def test_gradient_that_reaches_the_padding_of_the_outputs_is_dropped(cell: str):
    """Outputs past a length are constants, so a gradient with respect to them goes nowhere, whatever it is."""
    net = layer(cell, "cpp")
    x = torch.randn(T, B, I)
    past = torch.arange(T)[:, None] >= torch.tensor(LENGTHS)[None]
    gradients = []
    for garbage in (0.0, float("nan")):
        net.zero_grad()
        net(x, lengths=LENGTHS)[0].backward(torch.ones(T, B, 2 * H).masked_fill(past[..., None], garbage))
        gradients.append([p.grad.clone() for p in net.parameters()])
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("cell", EXAMPLES)
def test_rows_of_a_batch_do_not_see_each_other(cell: str):
    """A row that is NaN leaves the others as they are."""
    net = layer(cell, "cpp")
    x = torch.randn(T, B, I)
    spoilt = x.clone()
    spoilt[:, 1] = float("nan")
    others = [b for b in range(B) if b != 1]
    y, spoilt_y = net(x)[0], net(spoilt)[0]
    assert torch.equal(y[:, others], spoilt_y[:, others])
    assert spoilt_y[:, 1].isnan().all()


@pytest.mark.parametrize("cell", EXAMPLES)
def test_every_form_of_lengths_is_the_same(cell: str):
    net = layer(cell, "cpp")
    x = torch.randn(T, B, I)
    expected = net(x, lengths=LENGTHS)[0]
    for lengths in (list(LENGTHS), torch.tensor(LENGTHS), torch.tensor(LENGTHS, dtype=torch.int32)):
        assert torch.equal(net(x, lengths=lengths)[0], expected)
    full = net(x, lengths=[T] * B)
    whole = net(x)
    assert torch.allclose(full[0], whole[0], atol=1e-6)
