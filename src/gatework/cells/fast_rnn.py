"""Weighted residual network for small devices."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class FastRNN(Cell):
    """An Elman network with a residual connection, weighted by two learned scalars.

    Source: Kusupati et al., arXiv:1901.02358 (2018), section 3.1.
    """

    state = "h"
    gates = ("a",)
    p = vector("alpha", "beta", size="1")

    def initialise(self, parameters, hidden_size, input_size):
        parameters["p.alpha"].fill_(-3.0)
        parameters["p.beta"].fill_(3.0)

    def step(self, x, s, U, p):
        return sigmoid(p.alpha) * self.drop(tanh(x.a + U.a @ s.h)) + sigmoid(p.beta) * s.h
