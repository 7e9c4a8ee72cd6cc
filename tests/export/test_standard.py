"""Which cells become the LSTM, GRU or RNN of the ONNX standard: those whose equations they are, under any name."""

from __future__ import annotations

import pytest
import torch
from torch import relu, sigmoid, tanh

from gatework.cells import Cell, find, matrix, vector
from gatework.cells.lstm import LSTM as LSTMCell
from gatework.nn import GRU, LSTM, RNN, Recurrent
from tests.export.runtime import TOLERANCE, exported, kinds, largest_difference, session


class ResetBefore(Cell):
    state = "h"
    gates = "r", "z", "n"

    def step(self, x, s, U):
        r = sigmoid(x.r + U.r @ s.h)
        z = sigmoid(x.z + U.z @ s.h)
        n = tanh(x.n + U.n @ (r * s.h))
        return (1 - z) * n + z * s.h


class Renamed(Cell):
    """An LSTM with other names, gate order and order of terms."""

    state = "out", "memory"
    gates = "write", "keep", "show", "new"

    def step(self, x, s, U):
        keep = sigmoid(U.keep @ s.out + x.keep)
        new = tanh(x.new + U.new @ s.out) * sigmoid(x.write + U.write @ s.out)
        memory = new + s.memory * keep
        return tanh(memory) * sigmoid(x.show + U.show @ s.out), memory


class CoupledPeephole(Cell):
    """Input and forget gate coupled, with peepholes: everything that the ONNX node can do at once."""

    state = "h", "c"
    gates = "i", "g", "o"
    p = vector("i", "o")

    def step(self, x, s, U, p):
        i = sigmoid(x.i + U.i @ s.h + p.i * s.c)
        c = i * tanh(x.g + U.g @ s.h) + (1 - i) * s.c
        return sigmoid(x.o + U.o @ s.h + p.o * c) * tanh(c), c


class ForgetPeephole(Cell):
    """The same, but learned from the forget gate's side."""

    state = "h", "c"
    gates = "f", "g", "o"
    p = vector("f", "o")

    def step(self, x, s, U, p):
        f = sigmoid(x.f + U.f @ s.h + p.f * s.c)
        c = f * s.c + (1 - f) * tanh(x.g + U.g @ s.h)
        return sigmoid(x.o + U.o @ s.h + p.o * c) * tanh(c), c


class RectifiedRNN(Cell):
    state = "h"
    gates = ("a",)

    def step(self, x, s, U):
        return relu(x.a + U.a @ s.h)


STANDARD = {
    "lstm": "LSTM",
    "peephole-lstm": "LSTM",
    "cifg": "LSTM",
    "gru": "GRU",
    "rnn": "RNN",
    ResetBefore: "GRU",
    Renamed: "LSTM",
    CoupledPeephole: "LSTM",
    ForgetPeephole: "LSTM",
    RectifiedRNN: "RNN",
}


@pytest.mark.parametrize(
    ("cell", "bias"), [*((cell, True) for cell in STANDARD), ("lstm", False), ("cifg", False), ("gru", False)], ids=str
)
def test_standard_equations_become_the_standard_node(cell: str | type[Cell], bias: bool):
    torch.manual_seed(3)
    layer = Recurrent(cell, 4, 6, num_layers=2, bidirectional=True, bias=bias, backend="reference").eval()
    export = exported(layer, lengths=True, states=True)
    assert kinds(export) == [STANDARD[cell]] * 2, "one node a layer, both directions in it"
    assert largest_difference(layer, session(export), 6, 4, [6, 2, 0, 5], True) <= TOLERANCE


class ScaledLSTM(LSTMCell):
    """A subclass that keeps everything of the LSTM but one number in its step."""

    def step(self, x, s, U):
        h, c = super().step(x, s, U)
        return 0.9 * h, c


class CappedLSTM(LSTMCell):
    """Equal to the LSTM wherever the cell state is small: no sample of values would tell them apart."""

    def step(self, x, s, U):
        h, c = super().step(x, s, U)
        return h, c.clamp(-50, 50)


class SharedGate(Cell):
    """One gate in two places of the LSTM's equations."""

    state = "h", "c"
    gates = "i", "g", "o"

    def step(self, x, s, U):
        i = sigmoid(x.i + U.i @ s.h)
        c = i * s.c + i * tanh(x.g + U.g @ s.h)
        return sigmoid(x.o + U.o @ s.h) * tanh(c), c


class SwappedPeephole(Cell):
    """The output gate sees the old cell state, where ONNX has the new one."""

    state = "h", "c"
    gates = "i", "f", "g", "o"
    p = vector("i", "f", "o")

    def step(self, x, s, U, p):
        i = sigmoid(x.i + U.i @ s.h + p.i * s.c)
        f = sigmoid(x.f + U.f @ s.h + p.f * s.c)
        c = f * s.c + i * tanh(x.g + U.g @ s.h)
        return sigmoid(x.o + U.o @ s.h + p.o * s.c) * tanh(c), c


class Projected(Cell):
    """LSTMP: the projected state feeds back into the gates, which the standard node has no place for."""

    state = "h", "c"
    gates = "i", "f", "g", "o"
    sizes = {"s.h": "width"}
    U = matrix("i", "f", "g", "o", columns="width")
    P = matrix("h", rows="width", bias=False, parameter="hr")
    width: int = 3

    def step(self, x, s, U, P):
        i = sigmoid(x.i + U.i @ s.h)
        f = sigmoid(x.f + U.f @ s.h)
        c = f * s.c + i * tanh(x.g + U.g @ s.h)
        return P.h @ (sigmoid(x.o + U.o @ s.h) * tanh(c)), c


@pytest.mark.parametrize("cell", [ScaledLSTM, CappedLSTM, SharedGate, SwappedPeephole, Projected, "janet"], ids=str)
def test_other_equations_become_a_scan(cell: str | type[Cell]):
    torch.manual_seed(4)
    layer = Recurrent(cell, 4, 6, bidirectional=True, backend="reference").eval()
    export = exported(layer, lengths=True, states=True)
    assert kinds(export) == ["Scan", "Scan"]
    assert largest_difference(layer, session(export), 6, 4, [6, 2, 0, 5], True) <= TOLERANCE


def test_block_diagonal_matrices_become_a_scan():
    torch.manual_seed(5)
    layer = Recurrent("lstm", 4, 6, heads=2, backend="reference").eval()
    export = exported(layer)
    assert kinds(export) == ["Scan"]
    assert largest_difference(layer, session(export), 6, 3) <= TOLERANCE


def test_peephole_weights_stand_in_the_order_of_onnx():
    layer = Recurrent("peephole-lstm", 2, 3, backend="reference").eval()
    with torch.no_grad():
        layer.p_l0.copy_(torch.tensor([[1.0] * 3, [2.0] * 3, [3.0] * 3]))  # of the gates i, f, o
    (stored,) = [t for t in exported(layer).model.graph.initializer if t.name == "P"]
    assert (
        torch.frombuffer(bytearray(stored.raw_data), dtype=torch.float32).tolist() == [1.0] * 3 + [3.0] * 3 + [2.0] * 3
    )


@pytest.mark.parametrize("kind", [LSTM, GRU, RNN])
def test_layers_that_stand_in_for_torch(kind: type[Recurrent]):
    torch.manual_seed(6)
    layer = kind(5, 7, num_layers=2, dropout=0.5, bidirectional=True, batch_first=True).eval()
    export = exported(layer, states=True)
    assert kinds(export) == [kind.__name__] * 2
    assert largest_difference(layer, session(export), 6, 4, None, True) <= TOLERANCE


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"recurrent_dropout": 0.3, "variational_dropout": 0.2, "weight_drop": 0.5}, "LSTM"),
        ({"zoneout": 0.1}, "Scan"),  # in evaluation the states mix with the old ones
    ],
    ids=["off", "expectation"],
)
def test_random_regularisers_are_as_in_evaluation(options: dict[str, float], kind: str):
    torch.manual_seed(12)
    layer = Recurrent("lstm", 4, 6, backend="reference", **options).train()
    export = exported(layer)
    assert kinds(export) == [kind]
    assert layer.training
    assert largest_difference(layer.eval(), session(export), 6, 3) <= TOLERANCE


def test_double_precision_is_a_scan():
    torch.manual_seed(7)
    for cell in (find("gru"), find("janet")):
        layer = Recurrent(cell, 3, 5, dtype=torch.float64, backend="reference").eval()
        assert largest_difference(layer, session(exported(layer)), 6, 4) <= 1e-12
