"""Further inputs of each step and noise in the pointwise kernels: as in the reference, noise to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, sigmoid, tanh
from torch.nn.utils.rnn import pack_padded_sequence

from gatework.cells import Cell, noise, per_step
from gatework.compiler.plan import plan
from gatework.nn import Recurrent
from tests.conformance.comparison import TOLERANCE, distance


class Echo(Cell):
    """Gives its random numbers back."""

    state = "h", "c"
    gates = "g"
    n = noise("u", "v")
    w = noise("w", per="sequence")

    def step(self, x, s, U, n, w):
        z = 0 * (x.g + U.g @ s.h)
        return n.u + z, w.w + n.v + z


class Decaying(Cell):
    """A step with a number a row, a vector a row and noise."""

    state = "h", "c"
    gates = "i", "g"
    e = per_step("dt", default=1.0)
    m = per_step("mask", size="H")
    n = noise("a")

    def step(self, x, s, U, e, m, n):
        i = sigmoid(x.i + U.i @ s.h)
        c = torch.exp(-e.dt.abs() * (1 + n.a)) * s.c + i * tanh(x.g + U.g @ s.h) * m.mask
        return tanh(c) * m.mask, c


@pytest.fixture(autouse=True)
def conditions(poisoned_empty: None):
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


LAYOUTS: dict[str, dict[str, Any]] = {
    "time first": {},
    "batch first": {"batch_first": True},
    "both directions": {"bidirectional": True, "num_layers": 2},
}
LENGTHS = (None, (5, 2, 0, 3), (4, 4, 4, 4))


def pair(cell: type[Cell], I: int, H: int, dtype: torch.dtype, **options: Any) -> tuple[Recurrent, Recurrent]:  # noqa: E741
    fast = Recurrent(cell, I, H, backend="cpp", dtype=dtype, **options)
    slow = Recurrent(cell, I, H, backend="reference", dtype=torch.float64, **options)
    slow.load_state_dict(fast.state_dict())
    return slow, fast


def outputs(layer: Recurrent, x: Tensor, **more: Any) -> list[Tensor]:
    torch.manual_seed(3)  # the layer draws its seeds from torch's generator
    y, finals = layer(x.to(layer.weight_ih_l0.dtype), **more)
    return [y if isinstance(y, Tensor) else y.data, *finals]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_noise_is_the_references_bit_for_bit(layout: str, dtype: torch.dtype):
    slow, fast = pair(Echo, 3, 37, dtype, **LAYOUTS[layout])
    x = torch.zeros(*((4, 5) if layout == "batch first" else (5, 4)), 3)
    for lengths in LENGTHS:
        for truth, found in zip(outputs(slow, x, lengths=lengths), outputs(fast, x, lengths=lengths), strict=True):
            assert torch.equal(truth, found.double())


@pytest.mark.parametrize("lengths", [(5, 3, 3, 1), (1, 5, 2, 4)])
def test_packed_batches_draw_what_padded_ones_do(lengths: Sequence[int]):
    slow, fast = pair(Echo, 3, 20, torch.float32)
    packed = pack_padded_sequence(torch.zeros(5, 4, 3), torch.tensor(lengths), enforce_sorted=False)
    padded = outputs(slow, torch.zeros(5, 4, 3), lengths=lengths)[0]
    found = outputs(fast, packed)
    assert torch.equal(pack_padded_sequence(padded, torch.tensor(lengths), enforce_sorted=False).data.float(), found[0])


def test_one_step_and_none():
    """The path for a single step, and steps of no rows."""
    slow, fast = pair(Echo, 3, 9, torch.float32)
    for B in (1, 2, 0):
        for truth, found in zip(*(outputs(layer, torch.zeros(1, B, 3)) for layer in (slow, fast)), strict=True):
            assert torch.equal(truth.float(), found)


def derivatives(layer: Recurrent, given: dict[str, Tensor], lengths: Sequence[int] | None) -> list[Tensor]:
    leaves = {name: t.detach().to(layer.weight_ih_l0.dtype).requires_grad_() for name, t in given.items()}
    torch.manual_seed(4)
    y, finals = layer(leaves["x"], lengths=lengths, extra={name: leaves[name] for name in given if name != "x"})
    total = y.square().sum() + sum(f.square().sum() for f in finals)
    return [y, *finals, *torch.autograd.grad(total, [*leaves.values(), *layer.parameters()])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("B", "H", "threads"), [(4, 17, 1), (4, 200, 2), (40, 33, 2)])
def test_gradients_of_further_inputs(layout: str, dtype: torch.dtype, B: int, H: int, threads: int):
    """Rows divided between threads, units divided between threads (4 x 200), and one thread."""
    assert plan(Decaying()).kind == "M1t"
    torch.set_num_threads(threads)
    slow, fast = pair(Decaying, 3, H, dtype, **LAYOUTS[layout])
    lead = (B, 6) if layout == "batch first" else (6, B)
    given = {"x": torch.randn(*lead, 3), "dt": torch.rand(*lead, 1), "mask": torch.rand(*lead, H)}
    given = {name: t.to(dtype) for name, t in given.items()}
    for lengths in (None, [(5 * b + 2) % 7 for b in range(B)]):
        found = [derivatives(layer, given, lengths) for layer in (slow, fast)]
        assert max(distance(a, b) for a, b in zip(*found, strict=True)) <= TOLERANCE[dtype]


def test_a_default_costs_no_memory_and_has_its_value():
    """A number that nobody gives is one element with strides of 0."""
    slow, fast = pair(Decaying, 3, 17, torch.float32)
    x, mask = torch.randn(6, 2, 3), torch.rand(6, 2, 17)
    found = []
    for layer in (slow, fast):
        dtype = layer.weight_ih_l0.dtype
        found.append(outputs(layer, x, extra={"mask": mask.to(dtype)}))
        found.append(outputs(layer, x, extra={"mask": mask.to(dtype), "dt": torch.ones(6, 2, dtype=dtype)}))
    for other in found[1:]:
        assert max(distance(a, b) for a, b in zip(found[0], other, strict=True)) <= 1e-6
