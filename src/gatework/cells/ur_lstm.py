"""LSTM with uniform gate initialisation and a refine gate."""

from torch import log, sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix, vector


class URLSTM(Cell):
    """A refine gate r moves the forget gate f where it saturates; both share one bias, with opposite signs.

    Source: Gu et al., arXiv:1910.09890 (2019), section 3.
    """

    name = "ur-lstm"
    state = "h", "c"
    gates = "u", "o"
    W = matrix("f", "r", columns="I", bias=False)
    V = matrix("f", "r", bias=False)
    b = vector("f")

    def initialise(self, parameters, hidden_size, input_size):
        u = parameters["b.f"].uniform_(1 / (hidden_size + 1), 1 - 1 / (hidden_size + 1))
        u.copy_(-log(1 / u - 1))

    def step(self, x, s, U, W, V, b):
        f = sigmoid(W.f @ x.raw + V.f @ s.h + b.f)
        r = sigmoid(W.r @ x.raw + V.r @ s.h - b.f)
        g = 2 * r * f + (1 - 2 * r) * f * f
        c = g * s.c + (1 - g) * self.drop(tanh(x.u + U.u @ s.h))
        return sigmoid(x.o + U.o @ s.h) * tanh(c), c
