"""GRU whose update gate is weighted by an attention score."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import per_step


class AUGRU(Cell):
    """The score `a` in [0, 1] of each step says how far the state may move.

    Source: Zhou et al. (DIEN), arXiv:1809.03672 (2018), interest evolving layer.
    """

    state = "h"
    gates = "r", "z", "n"
    input_gate = "z"
    e = per_step("a")

    def step(self, x, s, U, e):
        r = sigmoid(x.r + U.r @ s.h)
        z = e.a * sigmoid(x.z + U.z @ s.h)
        n = tanh(x.n + r * (U.n @ s.h))
        return (1 - z) * s.h + z * self.drop(n)
