"""Gated recurrent unit, reset after the product."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell


class GRU(Cell):
    """The form of cuDNN and torch.nn: the reset gate acts on the product.  Source: Cho et al., arXiv:1406.1078v1."""

    state = "h"
    gates = "r", "z", "n"
    forget_gate = "z"

    def step(self, x, s, U):
        r = sigmoid(x.r + U.r @ s.h)
        z = sigmoid(x.z + U.z @ s.h)
        n = tanh(x.n + r * (U.n @ s.h))
        return (1 - z) * self.drop(n) + z * s.h
