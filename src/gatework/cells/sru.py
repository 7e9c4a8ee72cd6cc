"""Simple recurrent unit."""

from torch import sigmoid

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class SRU(Cell):
    """A light recurrence and a highway past it; without `v` the gates see the input alone and the cell is linear.

    The highway takes x itself where the input is H wide and `project` is False, else `x.k` = W x; `alpha` scales it.

    Source: Lei et al., arXiv:1709.02755 (2017), eq. 1-4.
    """

    name = "sru"
    state = "h", "c"
    gates = "z", "f", "r", "k"
    forget_gate = "f"
    p = vector("f", "r")
    v: bool = True
    project: bool = True
    alpha: float = 1.0

    def declare(self):
        changes = {} if self.v else {"p": None}
        return changes if self.project else {"gates": ("z", "f", "r"), **changes}

    def step(self, x, s, p):
        f = sigmoid(x.f + p.f * s.c if self.v else x.f)
        r = sigmoid(x.r + p.r * s.c if self.v else x.r)
        c = f * s.c + (1 - f) * self.drop(x.z)
        return r * c + (1 - r) * self.alpha * (x.k if self.project else x.raw), c
