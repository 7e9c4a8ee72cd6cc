"""LSTM whose gates are interval type-2 fuzzy sets."""

from torch import sigmoid, tanh
from torch.nn.functional import softplus

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class FuzzyLSTM(Cell):
    """A gate lies between sigmoid(a - delta) and sigmoid(a + delta), and is their learned mixture.

    There is no canonical fuzzy LSTM: this is a definition of our own out of textbook parts, the footprint of
    uncertainty of an interval type-2 set and a weighted Nie-Tan reduction to one number.

    Source: Nie & Tan, FUZZ-IEEE (2008), for the reduction; compare Li, Hu & Liang, IEEE TFS 28(12) (2020).
    """

    state = "h", "c"
    gates = "i", "f", "g", "o"
    forget_gate, input_gate = "f", "i"
    width = vector("i", "f", "o", start=-2.0)  # softplus of it is delta
    mix = vector("i", "f", "o", start=0.0)  # sigmoid of it is the upper bound's weight q

    def step(self, x, s, U, width, mix):
        def gate(k):
            a, delta, q = x[k] + U[k] @ s.h, softplus(width[k]), sigmoid(mix[k])
            return q * sigmoid(a + delta) + (1 - q) * sigmoid(a - delta)

        c = gate("f") * s.c + gate("i") * self.drop(tanh(x.g + U.g @ s.h))
        return gate("o") * tanh(c), c
