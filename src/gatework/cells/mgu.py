"""Minimal gated unit."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell


class MGU(Cell):
    """One gate that both forgets and resets; it opens towards the candidate, unlike the GRU's.

    Source: Zhou et al., arXiv:1603.09420 (2016), table 1.
    """

    state = "h"
    gates = "f", "n"
    input_gate = "f"

    def step(self, x, s, U):
        f = sigmoid(x.f + U.f @ s.h)
        n = tanh(x.n + U.n @ (f * s.h))
        return (1 - f) * s.h + f * self.drop(n)
