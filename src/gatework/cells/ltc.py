"""Liquid time-constant network."""

from torch import sigmoid
from torch.nn.functional import softplus

from gatework.cells.cell import Cell
from gatework.cells.declarations import per_step, vector


class LTC(Cell):
    """A differential equation whose time constants depend on the input, solved in `unfolds` fused Euler steps of `dt`.

    Source: Hasani, Lechner, Amini, Rus & Grosu, arXiv:2006.04439 (2020), eq. 3 and algorithm 1.
    """

    name = "ltc"
    state = "h"
    gates = ("f",)
    p = vector("tau", "a")  # softplus of tau is the time constant
    e = per_step("dt", default=1.0)
    unfolds: int = 6

    def step(self, x, s, U, p, e):
        h, dt = s.h, e.dt / self.unfolds
        for _ in range(self.unfolds):
            f = sigmoid(x.f + U.f @ h)
            h = (h + dt * f * p.a) / (1 + dt * (1 / softplus(p.tau) + f))
        return h
