"""Legendre memory unit."""

import torch
from torch import tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix, vector


class LMU(Cell):
    """A fixed linear memory m holds the last `theta` steps of a scalar u in `order` Legendre polynomials.

    Source: Voelker, Kajic & Eliasmith, NeurIPS (2019), eq. 1-7, discretised by zero-order hold.
    """

    name = "lmu"
    state = "h", "m"
    gates = ("h",)
    sizes = {"s.m": "order"}
    U, M = matrix("h"), matrix("m", columns="order", bias=False)
    ex, eh = matrix("u", rows=1, columns="I", bias=False), matrix("u", rows=1, bias=False)
    em = matrix("u", rows=1, columns="order", bias=False)
    A = matrix("m", rows="order", columns="order", bias=False, learned=False)
    B = vector("m", size="order", learned=False)
    order: int = 16
    theta: float = 100.0

    def initialise(self, parameters, hidden_size, input_size):
        i = torch.arange(self.order, dtype=torch.float64)
        sign = torch.where(i[:, None] < i, -1.0, (-1.0) ** (i[:, None] - i + 1))
        system = torch.zeros(self.order + 1, self.order + 1, dtype=torch.float64)
        system[:-1, :-1], system[:-1, -1] = (2 * i[:, None] + 1) * sign, (2 * i + 1) * (-1.0) ** i
        system = torch.matrix_exp(system / self.theta)  # zero-order hold over one step
        parameters["A.m"].copy_(system[:-1, :-1])
        parameters["B.m"].copy_(system[:-1, -1])
        parameters["em.u"].zero_()

    def step(self, x, s, U, M, ex, eh, em, A, B):
        u = ex.u @ x.raw + eh.u @ s.h + em.u @ s.m
        m = A.m @ s.m + B.m * u
        return tanh(x.h + U.h @ s.h + M.m @ m), m
