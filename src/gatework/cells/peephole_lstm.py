"""LSTM whose gates see the cell state."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class PeepholeLSTM(Cell):
    """Gates that see the cell state; the output gate sees the new one.

    Source: Gers, Schraudolph & Schmidhuber, JMLR 3 (2002), eq. 1-5.
    """

    state = "h", "c"
    gates = "i", "f", "g", "o"
    forget_gate, input_gate = "f", "i"
    p = vector("i", "f", "o")

    def step(self, x, s, U, p):
        i = sigmoid(x.i + U.i @ s.h + p.i * s.c)
        f = sigmoid(x.f + U.f @ s.h + p.f * s.c)
        c = f * s.c + i * self.drop(tanh(x.g + U.g @ s.h))
        o = sigmoid(x.o + U.o @ s.h + p.o * c)
        return o * tanh(c), c
