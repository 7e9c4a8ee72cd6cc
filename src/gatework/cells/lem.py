"""Long expressive memory."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell


class LEM(Cell):
    """Two states with learned step sizes of their own; y is moved by the new z.  `dt` is the largest step.

    Source: Rusch, Mishra, Erichson & Mahoney, arXiv:2110.04744 (2021), eq. 3.
    """

    state = "y", "z"
    gates = "a", "b", "z", "y"
    dt: float = 1.0

    def step(self, x, s, U):
        slow = self.dt * sigmoid(x.a + U.a @ s.y)
        fast = self.dt * sigmoid(x.b + U.b @ s.y)
        z = (1 - fast) * s.z + fast * tanh(x.z + U.z @ s.y)
        y = (1 - slow) * s.y + slow * tanh(x.y + U.y @ z)
        return y, z
