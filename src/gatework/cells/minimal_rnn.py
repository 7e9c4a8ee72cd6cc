"""MinimalRNN: a gate between the old state and the embedded input."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class MinimalRNN(Cell):
    """The input is embedded once, z = tanh(W x); the gate u sees the state and z.

    Source: Chen, arXiv:1711.06788 (2017), section 3.
    """

    state = "h"
    gates = ("z",)
    U = matrix("h", "z")

    def step(self, x, s, U):
        z = tanh(x.z)
        u = sigmoid(U.h @ s.h + U.z @ z)
        return u * s.h + (1 - u) * self.drop(z)
