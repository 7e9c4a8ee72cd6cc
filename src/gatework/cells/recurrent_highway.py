"""Recurrent highway network: several highway layers within a step."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix
from gatework.errors import CellError


class RecurrentHighway(Cell):
    """`depth` layers refine the state within each step; the input enters the first.  Gates are coupled, c = 1 - t.

    Source: Zilly, Srivastava, Koutnik & Schmidhuber, arXiv:1607.03474 (2016), eq. 6-9.
    """

    state = "h"
    gates = "h", "t"
    input_gate = "t"
    depth: int = 4

    def check_options(self):
        if self.depth < 1:
            raise CellError(f"depth is {self.depth}; expected the number of layers within a step, >= 1.")

    def declare(self):
        return {"U": matrix(*(f"{gate}{layer}" for layer in range(self.depth) for gate in "ht"))}

    def initialise(self, parameters, hidden_size, input_size):
        for name, parameter in parameters.items():
            if name.startswith("bias.U.t"):
                parameter.fill_(-2.0)  # gates start by carrying the state through

    def step(self, x, s, U):
        v = s.h
        for layer in range(self.depth):
            h, t = U[f"h{layer}"] @ v, U[f"t{layer}"] @ v
            if layer == 0:
                h, t = h + x.h, t + x.t
            t = sigmoid(t)
            v = t * self.drop(tanh(h)) + (1 - t) * v
        return v
