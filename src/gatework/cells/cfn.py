"""Chaos-free network."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class CFN(Cell):
    """Two gates and a squashed state; without input the state always falls to zero.

    Source: Laurent & von Brecht, arXiv:1612.06212 (2016), eq. 1-3.
    """

    state = "h"
    gates = "f", "i", "g"
    forget_gate, input_gate = "f", "i"
    U = matrix("f", "i")

    def step(self, x, s, U):
        f = sigmoid(x.f + U.f @ s.h)
        i = sigmoid(x.i + U.i @ s.h)
        return f * tanh(s.h) + i * self.drop(tanh(x.g))
