"""Intersection network, +RNN: gated in time and in depth."""

from torch import relu, sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class IntersectionRNN(Cell):
    """The output y is gated against the input, the state h against itself.

    The paper's input is as wide as the state; here `x.k` = W x stands for it, so that any width fits.

    Source: Collins, Sohl-Dickstein & Sussillo, arXiv:1611.09913 (2016), section 2.
    """

    state = "y", "h"
    gates = "y", "h", "gy", "gh", "k"
    forget_gate = "gh"
    U = matrix("y", "h", "gy", "gh")

    def step(self, x, s, U):
        y = relu(x.y + U.y @ s.h)
        h = tanh(x.h + U.h @ s.h)
        gy = sigmoid(x.gy + U.gy @ s.h)
        gh = sigmoid(x.gh + U.gh @ s.h)
        return gy * x.k + (1 - gy) * y, gh * s.h + (1 - gh) * self.drop(h)
