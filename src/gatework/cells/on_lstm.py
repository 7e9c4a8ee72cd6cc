"""Ordered neurons LSTM."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix
from gatework.cells.rows import cumax


class ONLSTM(Cell):
    """Master gates split the units into long- and short-term ones; each speaks for `chunk` units.

    Source: Shen, Tan, Sordoni & Courville, arXiv:1810.09536 (2018), eq. 9-14.
    """

    name = "on-lstm"
    state = "h", "c"
    gates = "mi", "mf", "o", "g", "i", "f"
    sizes = {"x.mi": "H // chunk", "x.mf": "H // chunk"}
    forget_gate, input_gate = "f", "i"
    M = matrix("mi", "mf", rows="H // chunk")
    U = matrix("o", "g", "i", "f")
    chunk: int = 1

    def step(self, x, s, M, U):
        def spread(master):
            return master.unsqueeze(-1).expand(-1, -1, self.chunk).reshape(s.c.shape)

        f_ = spread(cumax(x.mf + M.mf @ s.h))
        i_ = 1 - spread(cumax(x.mi + M.mi @ s.h))
        both = f_ * i_
        f = sigmoid(x.f + U.f @ s.h) * both + (f_ - both)
        i = sigmoid(x.i + U.i @ s.h) * both + (i_ - both)
        c = f * s.c + i * self.drop(tanh(x.g + U.g @ s.h))
        return sigmoid(x.o + U.o @ s.h) * tanh(c), c
