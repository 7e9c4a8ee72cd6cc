"""LSTM on quaternions."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class QuaternionLSTM(Cell):
    """Products are Hamilton products, a quarter of the parameters; activations act on each part alone.

    Input and state hold all real parts first, then the i, j and k parts; both sizes divide by 4.

    Source: Parcollet et al., arXiv:1806.04418 (2018), section 3.
    """

    state = "h", "c"
    W = matrix("i", "f", "g", "o", columns="I", form="quaternion", parameter="ih")
    U = matrix("i", "f", "g", "o", form="quaternion")

    def step(self, x, s, W, U):
        i = sigmoid(W.i @ x.raw + U.i @ s.h)
        f = sigmoid(W.f @ x.raw + U.f @ s.h)
        g = tanh(W.g @ x.raw + U.g @ s.h)
        o = sigmoid(W.o @ x.raw + U.o @ s.h)
        c = f * s.c + i * self.drop(g)
        return o * tanh(c), c
