"""Long short-term memory with a forget gate."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell


class LSTM(Cell):
    """The standard cell, as in torch.nn.  Source: Gers, Schmidhuber & Cummins, Neural Computation 12 (2000)."""

    state = "h", "c"
    gates = "i", "f", "g", "o"
    forget_gate, input_gate = "f", "i"

    def step(self, x, s, U):
        i = sigmoid(x.i + U.i @ s.h)
        f = sigmoid(x.f + U.f @ s.h)
        g = tanh(x.g + U.g @ s.h)
        o = sigmoid(x.o + U.o @ s.h)
        c = f * s.c + i * self.drop(g)
        return o * tanh(c), c
