"""sLSTM: exponential gates with a normaliser and a stabiliser."""

from torch import exp, linspace, maximum, sigmoid, tanh, where
from torch.nn.functional import logsigmoid

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix, vector
from gatework.cells.rows import group_norm


class SLSTM(Cell):
    """`heads` mix among themselves only; `head_norm=True` puts the layer norm of each head on the output y.

    m keeps exp in range, unit by unit: where n is 0 a sequence begins. n >= 1 holds by itself but for rounding.

    Source: Beck et al. (xLSTM), arXiv:2405.04517 (2024), eq. 8-17.
    """

    name = "slstm"
    state = "h", "c", "n", "m"
    gates = "i", "f", "z", "o"
    forget_gate, input_gate = "f", "i"
    U = matrix("i", "f", "z", "o", heads="heads")
    gain = vector("y", start=1.0)
    heads: int = 1
    head_norm: bool = False

    def declare(self):
        return {"state": ("y", "h", "c", "n", "m")} if self.head_norm else {"gain": None}

    def initialise(self, parameters, hidden_size, input_size):
        if "bias.f" in parameters:
            parameters["bias.f"].copy_(5 - 12 * linspace(0, 1, hidden_size) ** 0.3)

    def step(self, x, s, U, gain):
        i = x.i + U.i @ s.h
        f = logsigmoid(x.f + U.f @ s.h) + s.m
        m = where(s.n > 0, maximum(f, i), i)
        i, f = exp(i - m), exp((f - m).clamp(max=0))
        c = f * s.c + i * self.drop(tanh(x.z + U.z @ s.h))
        n = f * s.n + i
        h = sigmoid(x.o + U.o @ s.h) * c / n.clamp(min=1)
        return (group_norm(h, self.heads, gain.y), h, c, n, m) if self.head_norm else (h, c, n, m)
