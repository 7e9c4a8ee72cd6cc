"""Steps in stages: what no cell of the catalogue happens to need, against the reference; and how stages are laid."""

from __future__ import annotations

import pytest
import torch
from torch import sigmoid, tanh

from gatework.cells import Cell, matrix, noise, per_step, vector
from gatework.cells.rows import layer_norm
from gatework.compiler.explain import explain
from gatework.compiler.plan import plan
from gatework.compiler.stages import Staged
from gatework.nn import Recurrent
from tests.conformance.comparison import distance

I, H = 6, 12  # noqa: E741


class Everything(Cell):
    """Dependent products, other sizes, heads, a norm, further inputs, noise and the raw input in one step."""

    state = "h", "c", "m"
    gates = "i", "z"
    sizes = {"s.m": "parts", "x.z": 1}
    U = matrix("i")
    V = matrix("a", heads=3)
    P = matrix("p", rows="parts", bias=False)
    Q = matrix("q", columns="parts")
    W = matrix("w", columns="I")
    p = vector("gain", start=1.0)
    e = per_step("dt", default=0.5)
    n = noise("h")
    parts: int = 5

    def step(self, x, s, U, V, P, Q, W, p, e, n):
        i = sigmoid(x.i + U.i @ s.h + W.w @ x.raw)
        a = tanh(V.a @ (i * s.h) - e.dt * s.c)
        m = (P.p @ a).softmax(-1) + sigmoid(x.z) * s.m
        c = layer_norm(a + Q.q @ m) * p.gain
        return torch.where(n.h < 0.3, s.h, c * i), c, m


class Sliced(Cell):
    """Parts of a row taken, joined, turned round and summed up, by chunks and along them."""

    state = "h"
    gates = ("a",)

    def step(self, x, s, U):
        a = x.a + U.a @ s.h
        left, right = a.chunk(2, -1)
        joined = torch.cat([right, left * 2], -1)
        chunks = joined.view(a.shape[0], 3, -1)
        chunks = chunks - chunks.amax(-1, keepdim=True) + chunks.mean(1, keepdim=True)
        return tanh(chunks.reshape(a.shape)).cumsum(-1) / 4 + a.flip(-1) * a[:, 1:2]


class Idle(Cell):
    """A state that is never read, one that is handed on, one that goes to two; a zero gradient reaches each."""

    state = "h", "c", "d", "e"
    gates = ("a",)

    def step(self, x, s, U):
        return tanh(x.a + U.a @ tanh(x.a + s.c)), s.e, s.e, s.d


class Alternating(Cell):
    """Products on two states in turn, and one matrix applied twice."""

    state = "h", "c"
    gates = "a", "b"

    def step(self, x, s, U):
        a = tanh(x.a + U.a @ s.h + U.b @ s.c)
        return tanh(x.b + U.a @ a), 0.5 * s.c + a


def _results(layer: Recurrent, x: torch.Tensor, lengths: list[int] | None) -> list[torch.Tensor]:
    torch.manual_seed(1)  # of the noise
    given = x.clone().requires_grad_()
    states = tuple(torch.full((1, x.shape[1], w), 0.3, dtype=x.dtype, requires_grad=True) for w in layer.state_sizes)
    y, finals = layer(given, states if len(states) > 1 else states[0], lengths)
    finals = finals if isinstance(finals, tuple) else (finals,)
    total = (y * torch.linspace(0.5, 1.5, y.shape[-1], dtype=x.dtype)).sum() + sum(f.square().sum() for f in finals)
    return [y, *finals, *torch.autograd.grad(total, [given, *states, *layer.parameters()], materialize_grads=True)]


CELLS = [Everything, Sliced, Idle, Alternating]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("cell", CELLS, ids=lambda c: c.name)
def test_equals_the_reference(cell: type[Cell], threads: int):
    fast = Recurrent(cell, I, H, backend="cpp", dtype=torch.float64)
    slow = Recurrent(cell, I, H, backend="reference", dtype=torch.float64)
    slow.load_state_dict(fast.state_dict())
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for T, B, lengths in ((1, 1, None), (4, 2, None), (5, 3, [5, 0, 2]), (40, 9, None), (60, 3, None)):
            x = torch.randn(T, B, I, dtype=torch.float64)
            for a, b in zip(_results(fast, x, lengths), _results(slow, x, lengths), strict=True):
                assert distance(b, a) < 1e-11, (T, B)  # rounding of a few dozen steps
    finally:
        torch.set_num_threads(before)


def test_sizes_of_one_kernel_are_free():
    """One kernel serves every H and I: nothing of the sizes that it was traced with is left in it."""
    for hidden, inputs in ((3, 1), (12, 6), (36, 17)):
        fast = Recurrent(Everything, inputs, hidden, backend="cpp", dtype=torch.float64)
        slow = Recurrent(Everything, inputs, hidden, backend="reference", dtype=torch.float64)
        slow.load_state_dict(fast.state_dict())
        x = torch.randn(3, 2, inputs, dtype=torch.float64)
        for a, b in zip(_results(fast, x, None), _results(slow, x, None), strict=True):
            assert distance(b, a) < 1e-12


def test_rounds_of_products():
    found = plan(Everything())
    assert isinstance(found, Staged)
    assert found.kind == "M2"
    rounds = [[p.name for o in stage.then for p in found.products if p.operand == o] for stage in found.forward]
    assert rounds == [["i"], ["a"], ["p"], ["q"], []]
    assert found.traced.hoisted == (("W", "w"),), "a product of the raw input leaves the loop"


def test_explain_tells_the_stages():
    page = str(explain(Everything))
    assert "kernel class: M2" in page
    assert "input products before the loop: x.i, x.z, W.w @ x.raw" in page
    assert page.index("products: V.a @ ") < page.index("products: P.p @ ") < page.index("products: Q.q @ ")
