"""Mass-conserving LSTM."""

from torch import sigmoid, softmax

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix, per_step


class MCLSTM(Cell):
    """`mass` enters, is moved between cells and leaves as h: what enters is what leaves plus what stays.

    Gates see the input x (the paper's auxiliary a) and the cells as shares of their mass; R is constant.

    Source: Hoedt et al., arXiv:2101.05186 (2021), eq. 2-7.
    """

    name = "mc-lstm"
    state = "h", "c"
    gates = "i", "o"
    R = matrix("c", form="stochastic", bias=False)
    e = per_step("mass")

    def step(self, x, s, U, R, e):
        share = s.c / (s.c.abs().sum(-1, keepdim=True) + 1e-5)
        i = softmax(x.i + U.i @ share, -1)
        o = sigmoid(x.o + U.o @ share)
        mass = R.c @ s.c + i * e.mass
        return o * mass, (1 - o) * mass
