"""STAR: a stackable recurrent cell."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class STAR(Cell):
    """One gate k and no recurrent candidate, made so that gradients keep their size through many layers.

    Source: Turkoglu et al., arXiv:1911.11033 (2019).
    """

    state = "h"
    gates = "z", "k"
    input_gate = "k"
    U = matrix("k")

    def step(self, x, s, U):
        z = tanh(x.z)
        k = sigmoid(x.k + U.k @ s.h)
        return tanh((1 - k) * s.h + k * self.drop(z))
