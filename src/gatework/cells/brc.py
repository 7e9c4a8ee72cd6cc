"""Bistable recurrent cell."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class BRC(Cell):
    """Each unit feeds back on itself alone, with a gain a in (0, 2): above 1 it remembers for ever.

    Source: Vecoven, Ernst & Drion, PLoS ONE 16(6) e0252676 (2021).
    """

    name = "brc"
    state = "h"
    gates = "a", "c", "h"
    forget_gate = "c"
    w = vector("a", "c")

    def step(self, x, s, w):
        a = 1 + tanh(x.a + w.a * s.h)
        c = sigmoid(x.c + w.c * s.h)
        return c * s.h + (1 - c) * self.drop(tanh(x.h + a * s.h))
