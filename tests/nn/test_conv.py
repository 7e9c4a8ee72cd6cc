"""Cells over fields: compiled against the reference, the reference against plain convolutions, streaming, padding."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, sigmoid, tanh
from torch.nn import functional as F

from gatework import Cell
from gatework.cells import vector
from gatework.nn import ConvGRU2d, ConvLSTM1d, ConvLSTM2d, ConvLSTM3d, ConvRecurrent

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


class TwoStates(Cell):
    """Products on both states, in another order than the gates', and vectors."""

    state = "h", "c"
    gates = "f", "g", "o"
    p = vector("f", "o", start=0.5)

    def step(self, x, s, U, p):
        f = sigmoid(x.f + U.f @ s.h + p.f * s.c)
        g = tanh(x.g + f * (U.g @ s.h))
        o = sigmoid(x.o + U.o @ s.c + p.o * g)
        c = f * s.c + (1 - f) * g
        return o * tanh(c), c


class Diagonal(Cell):
    """No product of a state: what a position keeps depends on the inputs around it alone."""

    state = "h"
    gates = "f", "g"

    def step(self, x, s):
        f = sigmoid(x.f)
        return f * s.h + (1 - f) * x.g


def distance(found: Tensor, truth: Tensor) -> float:
    return float((found.double() - truth).norm() / truth.norm().clamp_min(1e-3))


def run(layer: ConvRecurrent, x: Tensor, hx, lengths=None) -> dict[str, Tensor]:
    """Results of a call and the gradients of a random sum of them, by name."""
    dtype = next(layer.parameters()).dtype
    x = x.to(dtype).requires_grad_()
    states = None if hx is None else [s.to(dtype).requires_grad_() for s in hx]
    y, finals = layer(x, states if states is None or len(states) > 1 else states[0], lengths)
    results = [y, *((finals,) if isinstance(finals, Tensor) else finals)]
    generator = torch.Generator().manual_seed(1)
    total = sum((r * torch.randn(r.shape, generator=generator, dtype=torch.double)).sum() for r in results)
    sources = {"x": x, **{f"initial {k}": s for k, s in enumerate(states or [])}, **dict(layer.named_parameters())}
    found = torch.autograd.grad(total, list(sources.values()))
    named = {f"result {k}": r.detach() for k, r in enumerate(results)}
    return named | {f"gradient of {n}": g for n, g in zip(sources, found, strict=True)}


def conforms(layer: ConvRecurrent, x: Tensor, initial: bool = True, lengths=None, like: str = "reference") -> None:
    """Assert that a compiled layer returns what the reference does in double precision, gradients included."""
    rows, (T, B) = layer.num_layers * layer.num_directions, x.shape[:2]
    if layer.batch_first:
        T, B = B, T
    hx = None
    if initial:
        hx = [torch.randn(rows, B, layer.hidden_channels, *x.shape[3:]).double() for _ in layer.cell.states]
    found = run(layer, x, hx, lengths)
    for name, parameter in layer.named_parameters():
        setattr(layer, name, torch.nn.Parameter(parameter.detach().double()))
    layer.backend = like
    truth = run(layer, x, hx, lengths)
    dtype = found["result 0"].dtype
    wrong = {name: e for name in truth if not (e := distance(found[name], truth[name])) <= TOLERANCE[dtype]}
    assert not wrong


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole-lstm", TwoStates, Diagonal])
def test_kernel_is_the_reference(cell, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = ConvRecurrent(cell, 3, 19, 3, dtype=dtype, backend="cpp")
    conforms(layer, torch.randn(4, 2, 3, 5, 7).double())


@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "bidirectional": True},
        {"bias": False, "recurrent_kernel_size": (1, 5)},
        {"batch_first": True, "kernel_size": (5, 1)},
    ],
)
@pytest.mark.parametrize("initial", [True, False])
def test_options(options: dict[str, object], initial: bool) -> None:
    torch.manual_seed(0)
    layer = ConvLSTM2d(2, 5, **({"kernel_size": 3} | options), dtype=torch.double, backend="cpp")
    conforms(layer, torch.randn(3, 4, 2, 4, 6).double(), initial)


@pytest.mark.parametrize(
    ("T", "B", "C", "field"), [(1, 1, 1, (1, 1)), (2, 1, 16, (1, 5)), (1, 3, 33, (4, 1)), (2, 3, 16, (1, 1))]
)
def test_small_sizes(T: int, B: int, C: int, field: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer, x = ConvLSTM2d(1, C, 3, dtype=torch.double, backend="cpp"), torch.randn(T, B, 1, *field).double()
    conforms(layer, x, initial=B == 1)


@pytest.mark.parametrize(("make", "field"), [(ConvLSTM1d, (9,)), (ConvLSTM3d, (3, 4, 5))])
def test_lines_and_volumes(make, field: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    conforms(make(2, 5, 3, backend="cpp"), torch.randn(3, 2, 2, *field).double())


@pytest.mark.parametrize("lengths", [[2, 5, 0, 3], [0, 0, 0, 0], [5, 5, 5, 5], [1, 1, 4, 1]])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_lengths(lengths: list[int], bidirectional: bool) -> None:
    torch.manual_seed(0)
    layer = ConvLSTM2d(2, 4, 3, bidirectional=bidirectional, dtype=torch.double, backend="cpp")
    x = torch.randn(5, 4, 2, 3, 4).double()
    if any(lengths):
        conforms(layer, x, lengths=lengths)
    poisoned = x.clone()
    for row, length in enumerate(lengths):
        poisoned[length:, row] = float("nan")
    y, finals = layer(poisoned, lengths=lengths)
    for row, length in enumerate(lengths):
        assert not y[length:, row].any()
        if length:
            alone, ends = layer(x[:length, row : row + 1])
            torch.testing.assert_close(y[:length, row], alone[:, 0], rtol=1e-12, atol=1e-12)
            for final, end in zip(finals, ends, strict=True):
                torch.testing.assert_close(final[:, row], end[:, 0], rtol=1e-12, atol=1e-12)


def test_strided_input() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 8, 10, 2, 3).permute(4, 3, 0, 1, 2)[:, :, ::2, ::2, 1:].double()  # [3, 2, 3, 4, 9]
    conforms(ConvGRU2d(3, 4, 3, dtype=torch.double, backend="cpp"), x)


def test_reference_is_shi_et_al() -> None:
    """Eq. 3 of arXiv:1506.04214 written with plain convolutions; peephole weights differ from position to position."""
    torch.manual_seed(0)
    layer = ConvRecurrent("peephole-lstm", 2, 3, 3, spatial_size=(4, 5), dtype=torch.double, backend="cpp")
    torch.nn.init.normal_(layer.p_l0)
    x = torch.randn(3, 2, 2, 4, 5, dtype=torch.double)
    h = c = torch.zeros(2, 3, 4, 5, dtype=torch.double)
    p_i, p_f, p_o = layer.p_l0
    for t in range(3):
        pre = F.conv2d(x[t], layer.weight_ih_l0, layer.bias_ih_l0, padding=1)
        i, f, g, o = (pre + F.conv2d(h, layer.weight_hh_l0, layer.bias_hh_l0, padding=1)).chunk(4, 1)
        new = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * tanh(g)
        h, c = sigmoid(o + p_o * new) * tanh(new), new
    for backend in ("cpp", "reference"):
        layer.backend = backend
        y, (last, cells) = layer(x)
        for a, b in ((y[-1], h), (last[0], h), (cells[0], c)):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_peepholes_of_each_position() -> None:
    torch.manual_seed(0)
    layer = ConvRecurrent("peephole-lstm", 2, 17, 3, spatial_size=(4, 5), dtype=torch.double, backend="cpp")
    torch.nn.init.normal_(layer.p_l0)
    conforms(layer, torch.randn(3, 3, 2, 4, 5).double(), lengths=[3, 1, 2])


@pytest.mark.parametrize("backend", ["cpp", "reference"])
def test_gradients_are_derivatives(backend: str) -> None:
    torch.manual_seed(0)
    layer = ConvGRU2d(1, 2, 3, dtype=torch.double, backend=backend)
    x = torch.randn(2, 1, 1, 2, 3, dtype=torch.double, requires_grad=True)
    h = torch.randn(1, 1, 2, 2, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, h, *_: layer(x, h), (x, h, *layer.parameters()))


def test_dependent_products_run_on_the_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """GRU with the reset gate before the product, against the equations."""

    class ResetBefore(Cell):
        state = "h"
        gates = "r", "z", "n"

        def step(self, x, s, U):
            r, z = sigmoid(x.r + U.r @ s.h), sigmoid(x.z + U.z @ s.h)
            return z * s.h + (1 - z) * tanh(x.n + U.n @ (r * s.h))

    torch.manual_seed(0)
    layer = ConvRecurrent(ResetBefore, 2, 3, 3, dtype=torch.double)
    x, h = torch.randn(2, 1, 2, 4, 4, dtype=torch.double), torch.zeros(1, 3, 4, 4, dtype=torch.double)
    y, _ = layer(x)
    assert "reference backend" in capsys.readouterr().err
    for t in range(2):
        x_r, x_z, x_n = F.conv2d(x[t], layer.weight_ih_l0, layer.bias_ih_l0, padding=1).chunk(3, 1)
        (U_r, U_z, U_n), (b_r, b_z, b_n) = layer.weight_hh_l0.chunk(3), layer.bias_hh_l0.chunk(3)
        r, z = (sigmoid(a + F.conv2d(h, u, b, padding=1)) for a, u, b in ((x_r, U_r, b_r), (x_z, U_z, b_z)))
        h = z * h + (1 - z) * tanh(x_n + F.conv2d(r * h, U_n, b_n, padding=1))
        torch.testing.assert_close(y[t], h, rtol=1e-12, atol=1e-12)


def test_streaming_is_one_call() -> None:
    torch.manual_seed(0)
    layer = ConvLSTM2d(2, 4, 3, num_layers=2, backend="cpp")
    x, state, parts = torch.randn(6, 2, 2, 5, 5), None, []
    with torch.no_grad():
        y, end = layer(x)
        for part in x.split((1, 3, 2)):
            out, state = layer(part, state)
            parts.append(out)
    torch.testing.assert_close(torch.cat(parts), y)
    for a, b in zip(state, end, strict=True):
        torch.testing.assert_close(a, b)


def test_threads_agree() -> None:
    torch.manual_seed(0)
    layer, x = ConvRecurrent("peephole-lstm", 2, 17, 3, backend="cpp", dtype=torch.double), torch.randn(3, 2, 2, 5, 7)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run(layer, x, None)
        torch.set_num_threads(3)
        three = run(layer, x, None)
    finally:
        torch.set_num_threads(before)
    assert all(distance(three[name], one[name]) <= 1e-13 for name in one)


@pytest.mark.usefixtures("poisoned_empty")
def test_reads_nothing_that_was_not_written() -> None:
    torch.manual_seed(0)
    conforms(ConvLSTM2d(2, 5, 3, dtype=torch.double, backend="cpp"), torch.randn(3, 2, 2, 3, 4).double(), False, [3, 2])


def test_outputs_may_be_used_again() -> None:
    """Two backward passes over one graph, and the error for an output that was changed in place."""
    torch.manual_seed(0)
    layer, x = ConvLSTM2d(1, 3, 3, backend="cpp"), torch.randn(2, 1, 1, 4, 4)
    y, _ = layer(x)
    one = torch.autograd.grad(y.sum(), layer.weight_hh_l0, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(y.sum(), layer.weight_hh_l0)[0], one)


@pytest.mark.parametrize("cell", ["peephole-lstm", "gru"])
def test_derivatives_of_derivatives(cell: str) -> None:
    torch.manual_seed(0)
    layer = ConvRecurrent(cell, 1, 2, 3, dtype=torch.double, backend="cpp", batch_first=True)
    x = torch.randn(1, 2, 1, 2, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x, *_: layer(x)[0], (x, *layer.parameters()), atol=1e-4)


def test_places_beside_the_eager_one() -> None:
    """torch.compile, torch.export, vmap, jvp, autocast, meta tensors: by the reference's loop."""
    torch.manual_seed(0)
    layer, x = ConvLSTM2d(2, 16, 3), torch.randn(2, 2, 2, 4, 4)
    y, _ = layer(x)
    whole = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)[0]
    torch.testing.assert_close(whole, y, rtol=1e-5, atol=1e-5)
    (ours,), (theirs,) = (torch.autograd.grad(r.sum(), [layer.weight_hh_l0]) for r in (whole, y))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x)[0], y, rtol=1e-5, atol=1e-5)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch, about its own forward mode
        batch = torch.func.vmap(lambda x: layer(x)[0])(torch.stack([x, 2 * x]))
        torch.testing.assert_close(batch[0], y, rtol=1e-5, atol=1e-5)
        tangent = torch.func.jvp(lambda x: layer(x)[0], (x,), (x,))[1]
        torch.testing.assert_close(tangent, (layer(1.01 * x)[0] - layer(0.99 * x)[0]) / 0.02, rtol=1e-2, atol=1e-3)
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x.bfloat16())[0].dtype == torch.float32
    assert layer.to("meta")(x.to("meta"))[0].shape == y.shape
