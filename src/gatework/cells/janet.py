"""Just Another NETwork: an LSTM that kept only its forget gate."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell


class JANET(Cell):
    """Forget gate only; `beta` makes writing harder than forgetting.

    Source: van der Westhuizen & Lasenby, arXiv:1804.04849, eq. 8.
    """

    state = "h"
    gates = "f", "g"
    forget_gate = "f"
    beta: float = 1.0

    def step(self, x, s, U):
        a = x.f + U.f @ s.h
        g = tanh(x.g + U.g @ s.h)
        return sigmoid(a) * s.h + (1 - sigmoid(a - self.beta)) * self.drop(g)
