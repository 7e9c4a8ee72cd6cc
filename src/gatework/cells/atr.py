"""Addition-subtraction twin-gated network."""

from torch import sigmoid

from gatework.cells.cell import Cell


class ATR(Cell):
    """Two gates out of one matrix each way: the sum lets in, the difference keeps.

    Source: Zhang et al., arXiv:1810.12546 (2018), section 3.
    """

    state = "h"
    gates = ("p",)

    def step(self, x, s, U):
        q = U.p @ s.h
        i = sigmoid(x.p + q)
        f = sigmoid(x.p - q)
        return i * self.drop(x.p) + f * s.h
