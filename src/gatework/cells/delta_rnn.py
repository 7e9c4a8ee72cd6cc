"""Delta network: an interpolation between the candidate and the state."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class DeltaRNN(Cell):
    """Input and state meet in a second-order term and two first-order ones; the gate r shares the input's map.

    Source: Ororbia, Mikolov & Reitter, arXiv:1703.08864 (2017).
    """

    state = "h"
    gates = ("a",)
    p = vector("both", "state", "input", start=1.0)
    b = vector("r", "z", start=0.0)

    def step(self, x, s, U, p, b):
        v = U.a @ s.h
        z = tanh(p.both * v * x.a + p.state * v + p.input * x.a + b.z)
        r = sigmoid(x.a + b.r)
        return tanh((1 - r) * self.drop(z) + r * s.h)
