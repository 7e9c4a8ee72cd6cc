"""Gated form of FastRNN with one pair of matrices."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class FastGRNN(Cell):
    """Gate and candidate share W and U and differ in their biases alone; zeta and nu are learned scalars.

    Source: Kusupati et al., arXiv:1901.02358 (2018), section 3.2.
    """

    state = "h"
    gates = ("a",)
    b = vector("z", "n", start=0.0)
    p = vector("zeta", "nu", size="1")

    def initialise(self, parameters, hidden_size, input_size):
        parameters["p.zeta"].fill_(1.0)
        parameters["p.nu"].fill_(-4.0)

    def step(self, x, s, U, b, p):
        a = x.a + U.a @ s.h
        z = sigmoid(a + b.z)
        n = tanh(a + b.n)
        return (sigmoid(p.zeta) * (1 - z) + sigmoid(p.nu)) * self.drop(n) + z * s.h
