"""Gated recurrent unit, reset before the product."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell


class ResetBeforeGRU(Cell):
    """The form of the published paper and of Keras with `reset_after=False`: the reset gate acts on the state.

    Source: Cho et al., arXiv:1406.1078v3 (2014), eq. 5-8.
    """

    name = "gru-reset-before"
    state = "h"
    gates = "r", "z", "n"
    forget_gate = "z"

    def step(self, x, s, U):
        r = sigmoid(x.r + U.r @ s.h)
        z = sigmoid(x.z + U.z @ s.h)
        n = tanh(x.n + U.n @ (r * s.h))
        return z * s.h + (1 - z) * self.drop(n)
