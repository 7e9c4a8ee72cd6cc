"""What is kept for backward changes memory alone; truncated backpropagation of one piece is the whole."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.utils.checkpoint
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from gatework.cells import Cell, per_step
from gatework.errors import InputError
from gatework.nn import LSTM, Recurrent, truncated

T, B, I, H = 11, 5, 4, 6  # noqa: E741
LENGTHS = [3, 11, 1, 7, 8]
NOISE = {
    "zoneout": {"h": 0.1, "c": 0.4},
    "recurrent_dropout": 0.25,
    "variational_dropout": 0.3,
    "weight_drop": 0.5,
}


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(20_26)


class Counted(Cell):
    """Takes its position, and a gap of its own."""

    state = "h"
    gates = ("a",)
    e = per_step("gap")
    q = per_step("t", default="position")

    def step(self, x, s, U, e, q):
        return torch.tanh(x.a + U.a @ s.h) * torch.exp(-e.gap) + 0.01 * q.t


def gradients(layer: Recurrent, form: str, extra: bool = False) -> list[Tensor]:
    """Outputs, states and every gradient of one call with fixed inputs and random numbers."""
    torch.manual_seed(1)
    x = torch.randn(T, B, I, dtype=torch.float64)
    x = (x.transpose(0, 1) if layer.batch_first else x).clone().requires_grad_()
    hx = [torch.randn(2 * layer.num_layers, B, H, dtype=torch.float64, requires_grad=True) for _ in layer.cell.states]
    gap = torch.rand(x.shape[:2], dtype=torch.float64, requires_grad=True)
    state = hx[0] if len(hx) == 1 else tuple(hx)
    if form == "packed":
        y, final = layer(pack_padded_sequence(x, LENGTHS, layer.batch_first, enforce_sorted=False), state)
        y = y.data
    else:
        lengths = [*LENGTHS[:2], 0, *LENGTHS[3:]] if form == "lengths" else None
        y, final = layer(x, state, lengths, {"gap": gap} if extra else None)
    finals = [final] if isinstance(final, Tensor) else list(final)
    total = y.sin().sum() + sum(f.square().sum() for f in finals)
    return [y, *finals, *torch.autograd.grad(total, [x, *hx, *layer.parameters(), *([gap] if extra else [])])]


def same(make: Callable[[str], Recurrent], *arguments) -> None:
    layers = {save: make(save) for save in ("gates", "states", "chunks")}
    expected = gradients(layers["gates"], *arguments)
    for save in ("states", "chunks"):
        layers[save].load_state_dict(layers["gates"].state_dict())
        for a, b in zip(gradients(layers[save], *arguments), expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("noise", [{}, NOISE], ids=["plain", "noise"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("form", ["full", "lengths", "packed"])
def test_equal_gradients(form: str, batch_first: bool, noise: dict):
    options = {"num_layers": 2, "bidirectional": True, "batch_first": batch_first, "dtype": torch.float64, **noise}
    backend = "reference" if noise else "auto"
    same(lambda save: LSTM(I, H, save=save, backend=backend, **options), form)


@pytest.mark.parametrize("form", ["full", "lengths"])
def test_equal_gradients_with_inputs_of_each_step(form: str):
    options = {"bidirectional": True, "backend": "reference", "dtype": torch.float64}
    same(lambda save: Recurrent(Counted, I, H, save=save, **options), form, True)


def test_second_derivatives_of_chunks():
    layer = LSTM(2, 3, save="chunks", backend="reference", dtype=torch.float64)
    x = torch.randn(5, 1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: layer(x)[0], (x,))


@pytest.mark.parametrize("save", ["states", "chunks"])
def test_some_gradients_alone(save: str):
    """Frozen weights, a gradient of a state alone, or of the outputs alone."""
    layers = [LSTM(I, H, save=kind, backend="reference") for kind in ("gates", save)]
    layers[1].load_state_dict(layers[0].state_dict())
    x = torch.randn(T, B, I, requires_grad=True)
    for pick in (lambda y, c: c.sum(), lambda y, c: y[2:5].sin().sum(), lambda y, c: y[0].sum() + c.sum()):
        found = []
        for layer in layers:
            layer.weight_hh_l0.requires_grad_(False)
            y, (_, c) = layer(x)
            found.append(torch.autograd.grad(pick(y, c), [x, layer.weight_ih_l0, layer.bias_hh_l0]))
        torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


def test_chunks_under_autocast():
    layers = [LSTM(I, H, save=save, backend="reference") for save in ("gates", "chunks")]
    layers[1].load_state_dict(layers[0].state_dict())
    x, found = torch.randn(T, B, I), []
    for layer in layers:
        with torch.autocast("cpu", torch.bfloat16):
            y, _ = layer(x)
        found.append([y, *torch.autograd.grad(y.float().sin().sum(), list(layer.parameters()))])
    torch.testing.assert_close(found[1], found[0], rtol=0.02, atol=0.02)


def test_first_use_within_activation_checkpointing():
    """The kernel is traced where hooks watch what autograd saves; they must not hinder it."""

    class Fresh(Cell):
        state = "h"
        gates = ("a",)

        def step(self, x, s, U):
            return 0.75 * torch.tanh(x.a + U.a @ s.h)

    layer, x = Recurrent(Fresh, I, H, backend="cpp"), torch.randn(T, B, I)
    y = torch.utils.checkpoint.checkpoint(lambda x: layer(x)[0], x, use_reentrant=False)
    assert torch.equal(y, layer(x)[0])


def test_nothing_to_keep():
    x = torch.randn(T, B, I)
    for save in ("states", "chunks"):
        layer = LSTM(I, H, save=save, backend="reference")
        with torch.no_grad():
            assert layer(x)[0].grad_fn is None
        assert layer(x[:0])[0].shape == (0, B, H)
        assert f"save={save}" in repr(layer)
    with pytest.raises(InputError, match="save is 'all'; expected one of gates, states, chunks"):
        LSTM(I, H, save="all")


def status(field: str) -> float:
    """A line of this process's memory, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def peak(run: Callable[[], object]) -> float:
    """MiB that a call needs at its highest beyond what was there before."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the high-water mark starts anew
    except OSError:
        pytest.skip("the system does not let a process reset its high-water mark of memory (/proc/self/clear_refs)")
    before = status("VmRSS")
    run()
    return status("VmHWM") - before


def test_memory_of_a_hundred_thousand_steps():
    """One row of 64 units: outputs and their gradients take 24 MiB each, all gates and states 150 MiB more."""
    T, layers = 100_000, {save: LSTM(2, 64, save=save) for save in ("chunks", "gates")}
    x, needed = torch.randn(T, 1, 2), {}
    for save, layer in layers.items():
        layer(x[:9])[0].sum().backward()  # the kernel is compiled and loaded
        needed[save] = peak(lambda layer=layer: layer(x)[0][-1].sum().backward())
    sequence = T * 64 * 4 / 2**20
    assert needed["chunks"] < 3 * sequence, needed
    assert needed["gates"] > needed["chunks"] + 4 * sequence, needed


def test_truncated_backpropagation_needs_memory_for_a_piece_alone():
    layer, needed = LSTM(2, 64), {}

    def train(x: Tensor) -> None:
        for piece in truncated(layer, x, 1000):
            piece.output.square().mean().backward()

    train(torch.randn(2000, 1, 2))
    for T in (4000, 100_000):
        x = torch.randn(T, 1, 2)
        needed[T] = peak(lambda x=x: train(x))
    one = 1000 * 64 * 4 / 2**20
    assert needed[100_000] < needed[4000] + 10 * one, "25 times the steps: a sequence of 24 MiB would show"


@pytest.mark.parametrize("noise", [{}, NOISE], ids=["plain", "noise"])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_one_piece_is_the_whole(lengths: list[int] | None, noise: dict):
    layer, x = LSTM(I, H, 2, backend="reference", **noise), torch.randn(T, B, I)
    torch.manual_seed(2)
    y, state = layer(x, lengths=lengths)
    torch.manual_seed(2)
    (piece,) = truncated(layer, x, 50, lengths=lengths)
    assert torch.equal(piece.output, y) and (piece.start, piece.stop) == (0, T)
    assert all(torch.equal(a, b) and not a.requires_grad for a, b in zip(piece.state, state, strict=True))
    found = [torch.autograd.grad(out.sin().sum(), list(layer.parameters())) for out in (y, piece.output)]
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("noise", [{}, NOISE], ids=["plain", "noise"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_pieces_put_together_are_the_whole(batch_first: bool, noise: dict):
    layer = LSTM(I, H, 2, batch_first=batch_first, backend="reference", **noise)
    x = torch.randn((B, T, I) if batch_first else (T, B, I))
    torch.manual_seed(2)
    y, state = layer(x, lengths=LENGTHS)
    torch.manual_seed(2)
    pieces = list(truncated(layer, x, 4, lengths=LENGTHS))
    assert [piece.steps for piece in pieces] == [slice(0, 4), slice(4, 8), slice(8, 11)]
    torch.testing.assert_close(torch.cat([piece.output for piece in pieces], 1 if batch_first else 0), y)
    torch.testing.assert_close(pieces[-1].state, state)


def test_gradients_stop_where_a_piece_begins():
    layer, x = LSTM(I, H, backend="reference"), torch.randn(T, B, I, requires_grad=True)
    for piece in truncated(layer, x, 4):
        (d,) = torch.autograd.grad(piece.output[-1].sum(), x)
        touched = (d.abs().sum((1, 2)) > 0).nonzero().flatten().tolist()
        assert touched == list(range(piece.start, piece.stop))


def test_positions_and_inputs_of_each_step_go_on():
    layer = Recurrent(Counted, I, H, backend="reference")
    x, gap = torch.randn(T, B, I), torch.rand(T, B)
    y, _ = layer(x, extra={"gap": gap})
    pieces = [piece.output for piece in truncated(layer, x, 4, extra={"gap": gap})]
    torch.testing.assert_close(torch.cat(pieces), y)
    one = [piece.output for piece in truncated(layer, x[:, 1], 4, extra={"gap": gap[:, 1]})]
    torch.testing.assert_close(torch.cat(one), y[:, 1])


def test_pieces_are_run_when_they_are_asked_for():
    """A step of the optimiser between two pieces changes the second."""
    layer, x = LSTM(I, H, backend="reference"), torch.randn(T, B, I)
    pieces = truncated(layer, x, 4)
    first = next(pieces)
    with torch.no_grad():
        layer.weight_ih_l0.zero_()
        layer.weight_hh_l0.zero_()
    second = next(pieces)
    expected, _ = layer(x[4:8], first.state)
    assert torch.equal(second.output, expected)
    assert len(list(itertools.chain([first, second], pieces))) == 3


REFUSED = {
    "both directions": (lambda: truncated(LSTM(I, H, bidirectional=True), torch.zeros(T, B, I), 4), "reads the future"),
    "no steps": (lambda: truncated(LSTM(I, H), torch.zeros(T, B, I), 0), "length is 0; expected a whole number"),
    "half steps": (lambda: truncated(LSTM(I, H), torch.zeros(T, B, I), 2.5), "length is 2.5"),
    "no tensor": (lambda: truncated(LSTM(I, H), [0.0], 4), r"input is list; expected \[T, B, 4\]"),
    "axes": (lambda: truncated(LSTM(I, H), torch.zeros(3), 4), r"input is a tensor of shape \(3,\)"),
    "lengths": (lambda: list(truncated(LSTM(I, H), torch.zeros(T, B, I), 4, lengths=[99] * B)), r"lengths\[0\] is 99"),
    "features": (lambda: list(truncated(LSTM(I, H), torch.zeros(T, B, I + 1), 4)), "input has 5 features"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_truncated_backpropagation_that_cannot_be(name: str):
    call, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        call()
