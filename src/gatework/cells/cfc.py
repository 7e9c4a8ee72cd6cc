"""Closed-form continuous-time network."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix, per_step


class CfC(Cell):
    """Between g and k as time passes: the closed form of a liquid time-constant equation; `dt` is the time step.

    The paper's three heads stand on one shared backbone layer b, as here; its width is that of the state.

    Source: Hasani et al., arXiv:2106.13898 (2021).
    """

    name = "cfc"
    state = "h"
    gates = ("b",)
    V = matrix("f", "g", "k")
    e = per_step("dt", default=1.0)

    def step(self, x, s, U, V, e):
        b = 1.7159 * tanh(2 / 3 * (x.b + U.b @ s.h))
        gate = sigmoid(-(V.f @ b) * e.dt)
        return gate * self.drop(tanh(V.g @ b)) + (1 - gate) * tanh(V.k @ b)
