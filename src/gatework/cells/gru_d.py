"""GRU with decay for missing values."""

from torch import exp, relu, sigmoid, tanh, where

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix, per_step, vector


class GRUD(Cell):
    """A missing input decays from its last value to its mean, the state decays too; `mask` is 1 where x was seen.

    `gap` is the time since each input was last seen. What stands in x where `mask` is 0 is not read (it may be NaN).

    Source: Che et al., arXiv:1606.01865 (2016), eq. 10-16.
    """

    name = "gru-d"
    state = "h", "last"
    sizes = {"s.last": "I"}
    W = matrix("r", "z", "n", columns="I", parameter="ih")
    U = matrix("r", "z", "n")
    V = matrix("r", "z", "n", columns="I", bias=False)
    D = matrix("h", columns="I")
    d = vector("scale", "shift", size="I")
    mean = vector("x", size="I", start=0.0, learned=False)
    e = per_step("mask", "gap", size="I", default=1.0)

    def step(self, x, s, W, U, V, D, d, mean, e):
        decay = exp(-relu(d.scale * e.gap + d.shift))
        v = where(e.mask > 0, x.raw, decay * s.last + (1 - decay) * mean.x)
        h = exp(-relu(D.h @ e.gap)) * s.h
        r = sigmoid(W.r @ v + U.r @ h + V.r @ e.mask)
        z = sigmoid(W.z @ v + U.z @ h + V.z @ e.mask)
        n = tanh(W.n @ v + U.n @ (r * h) + V.n @ e.mask)
        return (1 - z) * h + z * self.drop(n), where(e.mask > 0, x.raw, s.last)
