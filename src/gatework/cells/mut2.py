"""The second of three cells found by mutation of the GRU."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell


class MUT2(Cell):
    """The paper's reset gate takes x unweighted; here it is `W x`, so that any input width fits.

    Source: Jozefowicz, Zaremba & Sutskever, ICML (2015), section 3.
    """

    state = "h"
    gates = "z", "r", "n"

    def step(self, x, s, U):
        z = sigmoid(x.z + U.z @ s.h)
        r = sigmoid(x.r + U.r @ s.h)
        n = tanh(U.n @ (r * s.h) + x.n)
        return z * self.drop(n) + (1 - z) * s.h
