"""The first of three cells found by mutation of the GRU."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class MUT1(Cell):
    """The update gate sees the input alone; `tanh(x)` of the paper is `tanh(W x)`, so that any input width fits.

    Source: Jozefowicz, Zaremba & Sutskever, ICML (2015), section 3.
    """

    state = "h"
    gates = "z", "r", "n"
    U = matrix("r", "n")

    def step(self, x, s, U):
        z = sigmoid(x.z)
        r = sigmoid(x.r + U.r @ s.h)
        n = tanh(U.n @ (r * s.h) + tanh(x.n))
        return z * self.drop(n) + (1 - z) * s.h
