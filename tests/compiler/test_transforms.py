"""The kernel as an operator: opcheck, torch.compile without a graph break, shapes without data."""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from gatework.cells import Cell
from gatework.compiler import operators
from gatework.compiler.identity import identify
from gatework.compiler.launch import kernel_or_refusal
from gatework.compiler.ragged import Ragged
from gatework.compiler.trace import Unsupported
from gatework.nn import GRU, LSTM, Recurrent

T, B, I, H = 4, 3, 5, 7  # noqa: E741


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def arguments(layer: Recurrent, lengths: list[int] | None, train: bool) -> tuple:
    params = dict(layer.named_parameters())
    ragged: list[torch.Tensor] = []
    if lengths is not None:
        r = Ragged.of_lengths(lengths, T, B)
        ragged = [r.sizes, r.offsets, r.lengths, r.order]
    x = torch.randn(T, B, I, requires_grad=train)
    states = [torch.randn(B, H, requires_grad=train) for _ in layer.cell.states]
    names = ",".join(name.removesuffix("_l0") for name in params)
    weights = [p if train else p.detach() for p in params.values()]
    return x, states, weights, [], None, ragged, names, "", identify(layer.cell), False, False, False, train


@pytest.mark.parametrize("lengths", [None, [4, 0, 2]], ids=["full", "ragged"])
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_opcheck(kind: type[Recurrent], train: bool, lengths: list[int] | None):
    given = arguments(kind(I, H), lengths, train)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(operators.recur_op, given, test_utils=tests)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}], ids=str)
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_compile_without_a_graph_break(kind: type[Recurrent], options: dict, dynamic: bool):
    layer = kind(I, H, **options)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    x = torch.randn(T, B, I, requires_grad=True)
    results = []
    for function in (layer, compiled):
        y, _ = function(x)
        results.append([y, *torch.autograd.grad(y.square().sum(), [x, *layer.parameters()])])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x)[0], layer(x)[0])


def test_meta_tensors_give_shapes():
    layer = LSTM(I, H, num_layers=2, bidirectional=True, device="meta")
    y, (h, c) = layer(torch.empty(T, B, I, device="meta"))
    assert (y.shape, h.shape, c.shape) == ((T, B, 2 * H), (4, B, H), (4, B, H))
    assert y.device.type == h.device.type == "meta"


def test_fake_tensors_give_shapes():
    from torch._subclasses import FakeTensorMode

    cell = GRU(I, H).cell
    assert kernel_or_refusal(cell, torch.float32)
    with FakeTensorMode():
        y, h = Recurrent(cell, I, H)(torch.empty(T, B, I))
    assert (y.shape, h.shape) == ((T, B, H), (1, B, H))


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own forward mode calls it
def test_what_kernels_do_not_go_through_is_an_error_where_the_reference_is_not_allowed():
    layer, x = LSTM(I, H, backend="cpp"), torch.randn(T, B, I)
    with pytest.raises(Unsupported, match="jvp"):
        torch.func.jvp(lambda x: layer(x)[0], (x,), (x,))


def test_a_compiled_model_may_be_the_first_use_of_a_cell():
    class New(Cell):
        state = "h"
        gates = ("a",)

        def step(self, x, s, U):
            return torch.tanh(x.a + 0.75 * (U.a @ s.h))

    layer = Recurrent(New, 3, 4, backend="cpp")
    x = torch.randn(5, 2, 3)
    y, _ = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(y, layer(x)[0])


def test_fake_tensors_may_be_the_first_use_of_a_cell():
    class Newer(Cell):
        state = "h"
        gates = ("a",)

        def step(self, x, s, U):
            return torch.tanh(x.a + 0.625 * (U.a @ s.h))

    with FakeTensorMode():
        y, h = Recurrent(Newer, 3, 4, backend="cpp")(torch.randn(5, 2, 3))
    assert (tuple(y.shape), tuple(h.shape)) == ((5, 2, 4), (1, 2, 4))
