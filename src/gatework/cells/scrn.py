"""Structurally constrained recurrent network."""

from torch import sigmoid

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class SCRN(Cell):
    """A slow context s beside a fast hidden state; the paper's output layer reads both, h and the final s.

    Source: Mikolov et al., arXiv:1412.7753 (2014), eq. 3-4.
    """

    name = "scrn"
    state = "h", "s"
    gates = "s", "h"
    sizes = {"x.s": "context", "s.s": "context"}
    U = matrix("h")
    P = matrix("s", columns="context", bias=False)
    context: int = 40
    alpha: float = 0.95

    def step(self, x, s, U, P):
        new = (1 - self.alpha) * x.s + self.alpha * s.s
        return sigmoid(P.s @ new + x.h + U.h @ s.h), new
