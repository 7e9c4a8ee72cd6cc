"""Antisymmetric network with an input gate."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class GatedAntisymmetricRNN(Cell):
    """The gate z shares the antisymmetric product with the candidate.

    Source: Chang, Chen, Haber & Chi, arXiv:1902.09689 (2019), section 3.
    """

    state = "h"
    gates = "z", "h"
    input_gate = "z"
    U = matrix("h", form="antisymmetric", bias=False)
    epsilon: float = 0.1
    gamma: float = 0.01

    def step(self, x, s, U):
        a = U.h @ s.h - self.gamma * s.h
        z = sigmoid(x.z + a)
        return s.h + self.epsilon * z * tanh(x.h + a)
