"""Recurrently neuromodulated bistable cell."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class NBRC(Cell):
    """As BRC, with the gain and the gate of a unit set by all units.

    Source: Vecoven, Ernst & Drion, PLoS ONE 16(6) e0252676 (2021).
    """

    name = "nbrc"
    state = "h"
    gates = "a", "c", "h"
    forget_gate = "c"
    U = matrix("a", "c")

    def step(self, x, s, U):
        a = 1 + tanh(x.a + U.a @ s.h)
        c = sigmoid(x.c + U.c @ s.h)
        return c * s.h + (1 - c) * self.drop(tanh(x.h + a * s.h))
