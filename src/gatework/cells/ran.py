"""Recurrent additive network."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class RAN(Cell):
    """The content c is a weighted sum of the inputs: what is written does not depend on the state.

    Source: Lee, Levy & Zettlemoyer, arXiv:1705.07393 (2017), eq. 1.
    """

    state = "h", "c"
    gates = "g", "i", "f"
    forget_gate, input_gate = "f", "i"
    U = matrix("i", "f")

    def step(self, x, s, U):
        i = sigmoid(x.i + U.i @ s.h)
        f = sigmoid(x.f + U.f @ s.h)
        c = i * self.drop(x.g) + f * s.c
        return tanh(c), c
