"""A user's cells: closures, options and constants compile; what fits no kernel runs on the reference and says why."""

from __future__ import annotations

import pytest
import torch
from torch import sigmoid, tanh

from gatework.cells import Cell, matrix, vector
from gatework.compiler.launch import kernel_or_refusal
from gatework.compiler.trace import Unsupported
from gatework.nn import Recurrent
from gatework.say import recording
from tests.conformance.comparison import TOLERANCE, distance

GAIN = 1.5
T, B, I, H = 4, 3, 2, 9  # noqa: E741


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def both(cell, dtype: torch.dtype = torch.float32, **options: object) -> None:
    """The kernel's results and gradients are the reference's."""
    fast = Recurrent(cell, I, H, backend="cpp", dtype=dtype, **options)
    slow = Recurrent(cell, I, H, backend="reference", dtype=torch.float64, **options)
    slow.load_state_dict(fast.state_dict())
    x = torch.randn(T, B, I, dtype=dtype)
    for lengths in (None, (4, 0, 2)):
        found = []
        for layer in (fast, slow):
            given = x.to(layer.weight_ih_l0.dtype).requires_grad_()
            y, finals = layer(given, lengths=lengths)
            finals = finals if isinstance(finals, tuple) else (finals,)
            total = y.square().sum() + sum(f.square().sum() for f in finals)
            found.append(
                [y, *finals, *torch.autograd.grad(total, [given, *layer.parameters()], materialize_grads=True)]
            )
        assert all(distance(b, a) <= TOLERANCE[dtype] for a, b in zip(*found, strict=True))


def test_closures_options_and_module_constants():
    slope = 0.3

    class Mixed(Cell):
        state = "h", "m"
        gates = "a", "b"
        q = vector("one", "two")
        rate: float = 0.1

        def step(self, x, s, U, q):
            a = sigmoid(x.a + U.a @ s.h + q.one * s.m)
            b = tanh(GAIN * x.b + U.b @ s.h)
            for _ in range(2):  # Python's own control flow is unrolled
                b = b - slope * b * a
            m = (1 - self.rate) * s.m + self.rate * b
            return a * b + q.two, m

    both(Mixed)
    both(Mixed(rate=0.4))


def test_matrices_on_several_states_and_gates_without_a_product():
    class Wide(Cell):
        state = "h", "c"
        gates = "a", "b", "free"
        U = matrix("a", "b")
        V = matrix("z", "unused")

        def step(self, x, s, U, V):
            a, b = U.a @ s.h, U.b @ s.h
            z = V.z @ s.c
            c = sigmoid(x.a + a) * s.c + tanh(x.b + b + z)
            return tanh(c) * torch.exp(-x.free.square()), c

    both(Wide)
    both(Wide, bidirectional=True, num_layers=2, bias=False)


def test_many_products_share_tiles_in_chunks():
    class Six(Cell):
        state = "h"
        gates = "a", "b", "c", "d", "e", "f"

        def step(self, x, s, U):
            parts = [tanh(getattr(x, n) + getattr(U, n) @ s.h) for n in self.gate_names]
            return sum(parts[1:], parts[0]) / 6

    both(Six)


def test_a_state_that_is_handed_on_and_an_input_that_is_not_used():
    class Delay(Cell):
        state = "h", "old"
        gates = "a", "unused"

        def step(self, x, s, U):
            return tanh(x.a + U.a @ s.old), s.h

    both(Delay)


def test_a_changed_constant_compiles_anew():
    def make(factor: float) -> type[Cell]:
        class Scaled(Cell):
            state = "h"
            gates = ("a",)

            def step(self, x, s, U):
                return tanh(factor * x.a + U.a @ s.h)

        return Scaled

    x = torch.randn(T, B, I)
    layers = [Recurrent(make(factor), I, H, backend="cpp") for factor in (0.5, 2.0)]
    layers[1].load_state_dict(layers[0].state_dict())
    results = [layer(x)[0] for layer in layers]
    assert not torch.allclose(*results)
    kernels = [kernel_or_refusal(layer.cell, torch.float32) for layer in layers]
    assert kernels[0].key != kernels[1].key
    again = kernel_or_refusal(make(0.5)(), torch.float32)
    assert again is kernels[0], "the same equations are one kernel, whoever writes them"


class Base(Cell):
    state = "h"
    gates = "r", "n"

    def step(self, x, s, U):
        return tanh(x.n + U.n @ s.h)


class Dependent(Base):
    def step(self, x, s, U):
        r = sigmoid(x.r + U.r @ s.h)
        return tanh(x.n + U.n @ (r * s.h))


class LayerNorm(Base):
    def step(self, x, s, U):
        a = x.n + U.n @ s.h + 0 * (U.r @ s.h + x.r)
        return tanh(torch.nn.functional.layer_norm(a, a.shape[-1:]))


class Noisy(Base):
    def step(self, x, s, U):
        a = x.n + U.n @ s.h
        return tanh(a + 0 * torch.rand_like(a))


class Branching(Base):
    def step(self, x, s, U):
        a = x.n + U.n @ s.h
        return tanh(a) if a.sum() > 0 else tanh(a) * 1.0


class Outside(Base):
    def step(self, x, s, U):
        return tanh(x.n + U.n @ s.h) * torch.tensor(0.5, dtype=x.n.dtype)


class Twice(Base):
    def step(self, x, s, U):
        return tanh(x.n + U.n @ s.h + U.n @ s.h)


@pytest.mark.parametrize("cell", [Dependent, LayerNorm, Twice], ids=lambda cell: cell.name)
def test_dependent_products_and_operations_over_units(cell):
    both(cell)


class Sorted(Cell):
    state = "h"
    gates = ("a",)

    def step(self, x, s, U):
        return tanh(x.a + (U.a @ s.h).sort(-1).values)


class MixesRows(Cell):
    state = "h"
    gates = ("a",)

    def step(self, x, s, U):
        return tanh(x.a + U.a @ s.h - x.a.mean(0, keepdim=True))


FALLBACKS = {
    Sorted: "`sort` gives several values",
    MixesRows: "the batch is not its first axis",
    Noisy: "rand_like",
    Branching: "control flow must not depend on tensor values",
    Outside: "a tensor from outside is used",
}


@pytest.mark.parametrize("cell", FALLBACKS, ids=lambda cell: cell.name)
def test_what_does_not_fit_runs_on_the_reference_and_says_so_once(cell, capsys: pytest.CaptureFixture):
    layer, x = Recurrent(cell, I, H), torch.randn(T, B, I)
    with recording() as lines:
        y, _ = layer(x)
        layer(x)
        Recurrent(cell, I, H)(x)
    (line,) = lines
    assert line.startswith(f"{cell.name} runs on the reference backend, a Python loop: ")
    with pytest.raises(Unsupported, match=FALLBACKS[cell]) as caught:
        Recurrent(cell, I, H, backend="cpp")(x)
    assert " ".join(str(caught.value).split()) in line, "the line gives the reason"
    assert capsys.readouterr().err.count("runs on the reference") <= 1
    layer.backend = "reference"
    torch.testing.assert_close(layer(x)[0], y)


def test_a_step_that_writes_in_place():
    """On values of its own a step may; on its arguments it would change what the caller holds."""

    class InPlace(Cell):
        state = "h"
        gates = ("a",)

        def step(self, x, s, U):
            a = U.a @ s.h
            a += x.a
            return a.tanh_()

    layer = Recurrent(InPlace, I, H, backend="cpp")
    x = torch.randn(T, B, I)
    expected = Recurrent("rnn", I, H)
    expected.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x)[0], expected(x)[0])


def test_double_precision():
    class Tiny(Cell):
        state = "h"
        gates = ("a",)

        def step(self, x, s, U):
            return torch.where(x.a > 0, tanh(U.a @ s.h), 1.0e-9 + x.a.clamp(-1, 0.5))

    both(Tiny, torch.float64)
