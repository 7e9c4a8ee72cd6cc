"""Undamped independent controlled oscillatory network."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class UnICORNN(Cell):
    """Independent oscillators with learned time steps `dt * sigmoid(c)`; y moves with the new velocity z.

    Source: Rusch & Mishra, arXiv:2103.05487 (2021), section 2.
    """

    name = "unicornn"
    state = "y", "z"
    gates = ("a",)
    w = vector("y")
    c = vector("dt")
    dt: float = 0.1
    alpha: float = 1.0

    def step(self, x, s, w, c):
        dt = self.dt * sigmoid(c.dt)
        z = s.z - dt * (tanh(w.y * s.y + x.a) + self.alpha * s.y)
        return s.y + dt * z, z
