"""Coupled oscillatory network."""

from torch import tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class CoRNN(Cell):
    """Damped, driven, coupled oscillators: z is the velocity of y, and y moves with the new z.

    Source: Rusch & Mishra, arXiv:2010.00951 (2020), eq. 3.
    """

    state = "y", "z"
    gates = ("a",)
    U = matrix("y", "z")
    dt: float = 0.042
    gamma: float = 2.7
    epsilon: float = 4.7

    def step(self, x, s, U):
        force = tanh(U.y @ s.y + U.z @ s.z + x.a)
        z = s.z + self.dt * (force - self.gamma * s.y - self.epsilon * s.z)
        return s.y + self.dt * z, z
