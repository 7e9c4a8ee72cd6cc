"""Light gated recurrent unit."""

from torch import relu, sigmoid

from gatework.cells.cell import Cell


class LiGRU(Cell):
    """A GRU without reset gate, with a rectified candidate.  The paper normalises W x over the batch before the cell.

    Source: Ravanelli, Brakel, Omologo & Bengio, arXiv:1803.10225 (2018), section III.
    """

    state = "h"
    gates = "z", "n"
    forget_gate = "z"

    def step(self, x, s, U):
        z = sigmoid(x.z + U.z @ s.h)
        n = relu(x.n + U.n @ s.h)
        return z * s.h + (1 - z) * self.drop(n)
