"""Time-aware LSTM for irregular visits."""

import math

from torch import log, sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix, per_step


class TLSTM(Cell):
    """Short-term memory C^S is learned from the cell and discounted by the time since the last step, `dt` (>= 0).

    Source: Baytas et al., KDD (2017), section 3.2.
    """

    name = "t-lstm"
    state = "h", "c"
    gates = "i", "f", "g", "o"
    forget_gate, input_gate = "f", "i"
    D = matrix("c")
    e = per_step("dt", default=1.0)

    def step(self, x, s, U, D, e):
        short = tanh(D.c @ s.c)
        c = s.c - short + short / log(math.e + e.dt)
        i = sigmoid(x.i + U.i @ s.h)
        f = sigmoid(x.f + U.f @ s.h)
        o = sigmoid(x.o + U.o @ s.h)
        c = f * c + i * self.drop(tanh(x.g + U.g @ s.h))
        return o * tanh(c), c
