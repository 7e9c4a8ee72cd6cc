"""Recurrent network on a stable differential equation."""

from torch import tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class AntisymmetricRNN(Cell):
    """A step `epsilon` of an equation whose matrix has imaginary eigenvalues, damped by `gamma`.

    Source: Chang, Chen, Haber & Chi, arXiv:1902.09689 (2019), section 3.
    """

    state = "h"
    gates = ("h",)
    U = matrix("h", form="antisymmetric")
    epsilon: float = 0.1
    gamma: float = 0.01

    def step(self, x, s, U):
        return s.h + self.epsilon * tanh(x.h + U.h @ s.h - self.gamma * s.h)
