"""LSTM of independent units."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class IndyLSTM(Cell):
    """An LSTM with diagonal recurrent matrices: each unit's gates see its own output alone.

    Source: Gonnet & Deselaers, arXiv:1903.08023 (2019), section II.
    """

    state = "h", "c"
    gates = "i", "f", "g", "o"
    forget_gate, input_gate = "f", "i"
    u = vector("i", "f", "g", "o")

    def step(self, x, s, u):
        i = sigmoid(x.i + u.i * s.h)
        f = sigmoid(x.f + u.f * s.h)
        g = tanh(x.g + u.g * s.h)
        o = sigmoid(x.o + u.o * s.h)
        c = f * s.c + i * self.drop(g)
        return o * tanh(c), c
