"""What a file takes beside x, in every form that a cell can declare it; and sizes at their ends."""

from __future__ import annotations

import pytest
import torch
from torch import exp, sigmoid, tanh

from gatework.cells import Cell, matrix, per_step, vector
from gatework.errors import InputError
from gatework.nn import Recurrent
from tests.export.runtime import TOLERANCE, exported, largest_difference, session


class Decaying(Cell):
    """A per-step input that must be given, one with a default, one of its own width, and the position."""

    state = "h"
    gates = ("a",)
    e = per_step("dt")
    m = per_step("mask", default=1.0)
    v = per_step("seen", size="I")
    t = per_step("place", default="position")

    def step(self, x, s, U, e, m, v, t):
        seen = (v.seen * x.raw).mean(-1, keepdim=True)
        return m.mask * tanh(x.a + U.a @ (s.h * exp(-e.dt)) + seen) + 0.01 * t.place


class Raw(Cell):
    """No gates at all: the step reads the input itself, through a matrix of its own; an antisymmetric U."""

    state = "h"
    gates = ()
    U = matrix("a", form="antisymmetric")
    R = matrix("a", columns="I")
    p = vector("a", start=0.5)

    def step(self, x, s, U, R, p):
        return s.h + p.a * tanh(U.a @ s.h + R.a @ x.raw)


class Autonomous(Cell):
    """Nothing of the input is read; a Scan still has to count its steps."""

    state = "h", "n"
    gates = ()
    sizes = {"s.n": 1}
    U = matrix("a")

    def step(self, x, s, U):
        return tanh(U.a @ s.h + s.n), s.n + 1


class Hidden(Cell):
    """The output is a narrow first state; a wide one behind it carries the memory."""

    state = "y", "h"
    gates = ("a",)
    sizes = {"s.y": "H // 2"}
    P = matrix("y", rows="H // 2")

    def step(self, x, s, U, P):
        h = tanh(x.a + U.a @ s.h)
        return sigmoid(P.y @ h), h


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("cell", [Decaying, Raw, Autonomous, Hidden], ids=lambda c: c.__name__)
def test_inputs_and_widths(cell: type[Cell], batch_first: bool):
    torch.manual_seed(8)
    layer = Recurrent(cell, 4, 6, batch_first=batch_first, backend="reference").eval()
    export = exported(layer, lengths=True, states=True)
    shape = (3, 7) if batch_first else (7, 3)
    extra = {"dt": torch.rand(*shape, 1), "seen": torch.rand(*shape, 4)} if cell is Decaying else {}
    assert set(export.inputs) == {"input", "lengths", *(f"{s}_0" for s in layer.cell.states), *extra}
    assert largest_difference(layer, session(export), 7, 3, [7, 0, 4], True, extra) <= TOLERANCE


@pytest.mark.parametrize("cell", ["lstm", "janet"])
@pytest.mark.parametrize("sizes", [(0, 3), (1, 1), (3, 1)], ids=str)
def test_sizes_at_their_ends(cell: str, sizes: tuple[int, int]):
    torch.manual_seed(9)
    layer = Recurrent(cell, *sizes, backend="reference").eval()
    assert largest_difference(layer, session(exported(layer)), 4, 2) <= TOLERANCE


def test_batch_and_time_are_free_in_the_file():
    (x,) = exported(Recurrent("lstm", 3, 4)).model.graph.input
    assert [d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] == ["time", "batch", 3]


@pytest.mark.parametrize("cell", ["lstm", "slstm"])
def test_learned_initial_states(cell: str):
    torch.manual_seed(15)
    layer = Recurrent(cell, 3, 4, 2, bidirectional=True, learned_state=True, backend="reference").eval()
    with torch.no_grad():
        for states in layer.initial_states():
            for state in states:
                state.uniform_(0, 1)
    assert largest_difference(layer, session(exported(layer)), 5, 3) <= TOLERANCE
    assert largest_difference(layer, session(exported(layer, states=True)), 5, 3, states=True) <= TOLERANCE


def test_a_file_streams_with_its_own_states():
    torch.manual_seed(10)
    layer = Recurrent("cifg", 3, 4, backend="reference").eval()
    running = session(exported(layer, states=True))
    x, zeros = torch.randn(6, 2, 3), torch.zeros(1, 2, 4).numpy()
    whole, *_ = running.run(None, {"input": x.numpy(), "h_0": zeros, "c_0": zeros})
    states, parts = [zeros, zeros], []
    for part in x.split(2):
        y, *states = running.run(None, {"input": part.numpy(), "h_0": states[0], "c_0": states[1]})
        parts.append(torch.from_numpy(y))
    assert torch.allclose(torch.cat(parts), torch.from_numpy(whole), atol=1e-6)


def test_an_input_with_a_default_is_taken_when_it_is_named():
    torch.manual_seed(14)
    layer = Recurrent(Decaying, 4, 6, backend="reference").eval()
    export = exported(layer, extra=("mask",))
    assert export.inputs == ("input", "dt", "mask", "seen")
    extra = {"dt": torch.rand(7, 3, 1), "mask": torch.rand(7, 3, 1).round(), "seen": torch.rand(7, 3, 4)}
    assert largest_difference(layer, session(export), 7, 3, extra=extra) <= TOLERANCE


def test_a_name_that_the_cell_does_not_take():
    with pytest.raises(InputError, match=r"extra names 'gap'; .*takes at each step: dt, mask, seen, place"):
        exported(Recurrent(Decaying, 4, 6, backend="reference"), extra=("gap",))
