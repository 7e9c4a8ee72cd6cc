"""Clockwork network: groups of units with clocks of their own."""

from torch import arange, floor, tanh, where

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix, per_step, vector


class Clockwork(Cell):
    """Group g of `groups` moves at steps that 2^g divides, and reads groups that are as slow or slower.

    Source: Koutnik, Greff, Gomez & Schmidhuber, arXiv:1402.3511 (2014), section 3.
    """

    state = "h"
    gates = ("a",)
    U = matrix("a", form="upper:groups")
    period = vector("t", learned=False)
    e = per_step("t", default="position")
    groups: int = 4

    def initialise(self, parameters, hidden_size, input_size):
        parameters["period.t"].copy_(2.0 ** (arange(hidden_size) * self.groups // hidden_size))

    def step(self, x, s, U, period, e):
        due = floor(e.t / period.t) * period.t == e.t
        return where(due, tanh(x.a + U.a @ s.h), s.h)
