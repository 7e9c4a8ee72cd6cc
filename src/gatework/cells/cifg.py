"""LSTM with coupled input and forget gates."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell


class CIFG(Cell):
    """Coupled gates: what is kept is not written, i = 1 - f.  Source: Greff et al., arXiv:1503.04069 (2015)."""

    state = "h", "c"
    gates = "f", "g", "o"
    forget_gate = "f"

    def step(self, x, s, U):
        f = sigmoid(x.f + U.f @ s.h)
        g = tanh(x.g + U.g @ s.h)
        o = sigmoid(x.o + U.o @ s.h)
        c = f * s.c + (1 - f) * self.drop(g)
        return o * tanh(c), c
