"""The third of three cells found by mutation of the GRU."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell


class MUT3(Cell):
    """The update gate sees the squashed state, tanh(h).

    Source: Jozefowicz, Zaremba & Sutskever, ICML (2015), section 3.
    """

    state = "h"
    gates = "z", "r", "n"

    def step(self, x, s, U):
        z = sigmoid(x.z + U.z @ tanh(s.h))
        r = sigmoid(x.r + U.r @ s.h)
        n = tanh(U.n @ (r * s.h) + x.n)
        return z * self.drop(n) + (1 - z) * s.h
