"""Update gate recurrent network."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell


class UGRNN(Cell):
    """One gate between keeping the state and taking the candidate.

    Source: Collins, Sohl-Dickstein & Sussillo, arXiv:1611.09913 (2016), section 2.
    """

    name = "ugrnn"
    state = "h"
    gates = "c", "g"
    forget_gate = "g"

    def step(self, x, s, U):
        c = tanh(x.c + U.c @ s.h)
        g = sigmoid(x.g + U.g @ s.h)
        return g * s.h + (1 - g) * self.drop(c)
