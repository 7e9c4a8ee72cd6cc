"""Cells without a product in the time loop: classes D and S, in every layout, against the reference in float64."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy
import pytest
import torch
from torch import Tensor, relu, sigmoid, tanh
from torch.nn.utils.rnn import pack_padded_sequence

from gatework.cells import Cell, noise, per_step, vector
from gatework.compiler.plan import plan
from gatework.nn import Recurrent
from tests.conformance.comparison import TOLERANCE, as_list, as_state, distance


class Ind(Cell):
    """One gate: four vectors of units share a register tile."""

    state = "h"
    gates = "h"
    u = vector("h")

    def step(self, x, s, u):
        return relu(x.h + u.h * s.h)


class Four(Cell):
    """Two states that read each other, and a vector for each gate."""

    state = "h", "c"
    gates = "i", "f", "g", "o"
    u = vector("i", "f", "g", "o")

    def step(self, x, s, u):
        i, f, o = (sigmoid(x[n] + u[n] * s.h) for n in "ifo")
        c = f * s.c + i * tanh(x.g + u.g * s.h)
        return o * tanh(c), c


class Highway(Cell):
    """Linear in its one memory; the output takes the raw input, so I = H."""

    state = "h", "c"
    gates = "z", "f", "r"

    def step(self, x, s):
        f, r = sigmoid(x.f), sigmoid(x.r)
        c = f * s.c + (1 - f) * x.z
        return r * tanh(c) + (1 - r) * x.raw, c


class Leaky(Cell):
    """The output is the memory; two gates."""

    state = "h"
    gates = "z", "h"

    def step(self, x, s):
        z = sigmoid(x.z)
        return (1 - z) * s.h + z * x.h


class Timed(Cell):
    """More gates than a tile holds, further inputs of both widths, and noise."""

    state = "h", "m"
    gates = "a", "b", "c", "d", "e"
    w = vector("w")
    e = per_step("dt", "mask", size="1", default=1.0)
    n = per_step("bias", size="H", default=0.5)
    r = noise("keep")

    def step(self, x, s, w, e, n, r):
        m = torch.exp(-e.dt.abs()) * s.m + tanh(x.a) * x.b + n.bias
        h = tanh(w.w * s.m + x.c) + torch.where(r.keep < 0.3, x.d, x.e) * e.mask
        return h, m


class Bare(Cell):
    """No gates: the raw input alone, and two states that change places."""

    state = "h", "m"
    gates = ()
    w = vector("w")

    def step(self, x, s, w):
        return tanh(w.w * s.m + x.raw), 0.5 * s.h


CELLS = (Ind, Four, Highway, Leaky, Timed, Bare)
RAW = (Highway, Bare)


@pytest.fixture(autouse=True)
def seed() -> Iterator[None]:
    torch.manual_seed(0)
    yield
    torch.set_num_threads(1)


def results(layer: Recurrent, x: Tensor, states: list[Tensor], lengths: list[int] | None, packed: bool) -> list[Tensor]:
    """Outputs, final states and every gradient, of a loss that weighs each number of them differently."""
    dtype = layer.all_weights[0][0].dtype
    given, first = x.to(dtype).requires_grad_(), [s.to(dtype).requires_grad_() for s in states]
    torch.manual_seed(1)  # of the noise
    if packed:
        y, finals = layer(pack_padded_sequence(given, torch.tensor(lengths), layer.batch_first), as_state(first))
        y = y.data
    else:
        y, finals = layer(given, as_state(first), lengths=lengths)
    found = [y, *as_list(finals)]
    loss = sum((v * torch.linspace(-1, 1, v.numel(), dtype=dtype).view_as(v)).sum() for v in found)
    wanted = [given, *first, *layer.parameters()]
    return [*found, *torch.autograd.grad(loss, wanted, materialize_grads=True)]


def compare(
    cell: type[Cell], sizes: tuple[int, int, int, int], dtype: torch.dtype, ragged: str, **options: object
) -> None:
    T, B, I, H = sizes  # noqa: E741
    I = H if cell in RAW else I  # noqa: E741
    fast = Recurrent(cell, I, H, bidirectional=True, backend="cpp", dtype=dtype, **options)
    slow = Recurrent(cell, I, H, bidirectional=True, backend="reference", dtype=torch.float64, **options)
    slow.load_state_dict({name: value.double() for name, value in fast.state_dict().items()})
    x = torch.randn(*((B, T) if options.get("batch_first") else (T, B)), I, dtype=dtype)
    states = [torch.randn(2, B, H, dtype=dtype) for _ in fast.cell.states]
    lengths = None if not ragged else [max(T - 2 * b, 1 if ragged == "packed" else 0) for b in range(B)]
    if ragged == "padded":
        lengths = lengths[::-1]
    pair = [results(layer, x, states, lengths, ragged == "packed") for layer in (slow, fast)]
    assert all(distance(b, a) <= 3 * TOLERANCE[dtype] for a, b in zip(*pair, strict=True))
    with torch.no_grad():
        torch.manual_seed(1)
        y = fast(x, as_state(states), lengths=lengths)[0]
    if ragged != "packed":
        assert distance(y, pair[0][0]) <= TOLERANCE[dtype]


@pytest.mark.parametrize("cell", CELLS)
def test_every_layout(cell: type[Cell]):
    """Sizes around the edges of vectors, tiles and groups of rows; equal and unequal lengths, packed and padded."""
    compare(cell, (1, 1, 0, 1), torch.float32, "")
    all_sizes = (1, 2, 3, 17), (5, 9, 5, 33), (2, 13, 33, 70), (20, 3, 70, 40)
    for k, (sizes, ragged) in enumerate(itertools.product(all_sizes, ("", "padded", "packed"))):
        compare(cell, sizes, torch.float32, ragged, batch_first=k % 2 > 0)


@pytest.mark.parametrize("cell", [Four, Highway])
def test_in_double_precision_without_biases(cell: type[Cell]):
    for sizes, ragged in itertools.product(((3, 6, 4, 11), (210, 2, 5, 9)), ("", "padded")):
        compare(cell, sizes, torch.float64, ragged, bias=False)


@pytest.mark.parametrize("cell", [Four, Highway, Leaky, Timed])
@pytest.mark.parametrize("threads", [2, 5])
def test_threads_divide_units_rows_and_time(cell: type[Cell], threads: int):
    """Long enough to be divided: among units, among rows, and, where both are few and the step is linear, in time."""
    torch.set_num_threads(threads)
    compare(cell, (30, 12, 20, 70), torch.float32, "padded")
    compare(cell, (90, 3, 10, 20), torch.float32, "")
    for ragged in ("", "padded"):
        compare(cell, (200, 2, 30, 5), torch.float32, ragged)


def test_inputs_may_lie_anywhere():
    """Slices of wider tensors, turned and repeated ones, run as they lie."""
    layer = Recurrent(Leaky, 6, 20, backend="cpp")
    wide = torch.randn(9, 4, 30)
    for x in (wide[..., 7:13], wide.transpose(0, 1)[:, :, :6], wide[:1, :, :6].expand(5, 4, 6), wide[::2, 1:3, 24:]):
        states = [torch.randn(1, x.shape[1], 20)]
        pair = [results(layer, v, states, None, False) for v in (x, x.contiguous())]
        assert all(torch.equal(a, b) for a, b in zip(*pair, strict=True))


def test_a_step_at_a_time_is_the_whole_sequence():
    for cell in (Four, Leaky, Ind):
        layer = Recurrent(cell, 7, 19, backend="cpp")
        x = torch.randn(6, 2, 7)
        with torch.no_grad():
            whole, final = layer(x)
            state, steps = None, []
            for xt in x.split(1):
                y, state = layer(xt, state)
                steps.append(y)
        torch.testing.assert_close(torch.cat(steps), whole)
        torch.testing.assert_close(state, final)


class Rounded(Leaky):
    def step(self, x, s):
        return torch.floor(s.h) + x.z * x.h  # its derivative is 0, and it is not linear


class Squared(Leaky):
    def step(self, x, s):
        return x.z * s.h * s.h + x.h


class Coupled(Cell):
    """Linear, with two memories: no scan of one number."""

    state = "a", "b"
    gates = "x", "y"

    def step(self, x, s):
        return 0.9 * s.a - 0.1 * s.b + x.x, 0.1 * s.a + 0.9 * s.b + x.y


class Quotient(Leaky):
    def step(self, x, s):
        n = torch.exp(x.z) + 1
        return torch.where(x.h > 0, s.h / n, x.h - s.h) / 2


def test_linear_steps_are_told_from_others():
    kinds = {Ind: "D", Four: "D", Highway: "S", Leaky: "S", Timed: "S", Bare: "D"}
    kinds |= {Rounded: "D", Squared: "D", Coupled: "S", Quotient: "S"}
    assert {cell: plan(cell()).kind for cell in kinds} == kinds
    scanned = {Highway: 1, Leaky: 0, Timed: 1, Coupled: None, Quotient: 0, Four: None}
    assert {cell: plan(cell()).scanned for cell in scanned} == scanned


class Scanned(Cell):
    """A memory whose forget gate is given by the input, from 0 to 1."""

    state = "c"
    gates = "f", "z"

    def step(self, x, s):
        f = sigmoid(x.f)
        return f * s.c + (1 - f) * x.z


@pytest.mark.parametrize("level", [-200.0, -8.0, 0.0, 8.0, 200.0, None])
def test_a_scan_of_a_hundred_thousand_steps(level: float | None):
    """Time divided among threads gives what one step after the other does, for gates at either end and in between.

    Products of 100,000 gates underflow or stay near 1; neither may hurt.  Truth is a loop in float64.
    """
    T, H = 100_000, 4
    gate = torch.full((T, 1, H), level) if level is not None else 40 * torch.randn(T, 1, H)
    x = torch.cat([gate + 0.1 * torch.randn(T, 1, H), torch.randn(T, 1, H)], -1)
    layer = Recurrent(Scanned, 2 * H, H, bias=False, backend="cpp")
    with torch.no_grad():
        layer.weight_ih_l0.copy_(torch.eye(2 * H))
    c, outputs = torch.full((H,), 3.0).double().numpy(), []
    f = torch.sigmoid(x[:, 0, :H].double()).numpy()
    z = (torch.sigmoid(-x[:, 0, :H].double()) * x[:, 0, H:].double()).numpy()
    for t in range(T):
        c = f[t] * c + z[t]
        outputs.append(c)
    truth, found = torch.from_numpy(numpy.stack(outputs)), []
    for threads in (1, 2, 7):
        torch.set_num_threads(threads)
        start = torch.full((1, 1, H), 3.0, requires_grad=True)
        y, last = layer(x, start)
        (d_start,) = torch.autograd.grad((y * y.detach().sign()).sum(), start)
        found.append((y, last, d_start))
    for y, last, d_start in found:
        assert (y[:, 0] - truth).abs().max() <= 2e-5 * max(1, truth.abs().max())
        torch.testing.assert_close(last[0], y[-1], rtol=0, atol=0)
        torch.testing.assert_close(d_start, found[0][2], rtol=1e-4, atol=1e-30)


def test_a_growing_state_overflows_alike():
    """Factors above 1 overflow to infinity within a span; a state of zero does not turn that into NaN."""

    class Growing(Leaky):
        def step(self, x, s):
            return 3 * s.h + 0 * x.z + x.h

    T, H = 3000, 12
    layer = Recurrent(Growing, 30, H, bias=False, backend="cpp")
    x = torch.zeros(T, 1, 30)
    x[T - 20 :] = 1
    torch.set_num_threads(2)
    with torch.no_grad():
        found = layer(x)[0]
        torch.set_num_threads(1)
        torch.testing.assert_close(found, layer(x)[0], rtol=1e-5, atol=0)
    assert found.isfinite().all()
