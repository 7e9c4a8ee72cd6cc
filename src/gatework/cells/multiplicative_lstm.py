"""LSTM whose recurrent map is chosen by the input."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class MultiplicativeLSTM(Cell):
    """The gates see m, a product of input and state, in place of h.

    Source: Krause et al., arXiv:1609.07959 (2016), section 3.
    """

    state = "h", "c"
    gates = "m", "i", "f", "g", "o"
    forget_gate, input_gate = "f", "i"
    U = matrix("m", "i", "f", "g", "o")

    def step(self, x, s, U):
        m = x.m * (U.m @ s.h)
        i = sigmoid(x.i + U.i @ m)
        f = sigmoid(x.f + U.f @ m)
        g = tanh(x.g + U.g @ m)
        o = sigmoid(x.o + U.o @ m)
        c = f * s.c + i * self.drop(g)
        return o * tanh(c), c
