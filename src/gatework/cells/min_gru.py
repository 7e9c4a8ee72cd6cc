"""minGRU: a GRU whose gates do not see the state."""

from torch import sigmoid

from gatework.cells.cell import Cell


class MinGRU(Cell):
    """Linear in its state, so that all time steps can be computed at once.

    Source: Feng et al., arXiv:2410.01201 (2024), section 3.1.
    """

    state = "h"
    gates = "z", "n"
    input_gate = "z"

    def step(self, x, s):
        z = sigmoid(x.z)
        return (1 - z) * s.h + z * self.drop(x.n)
