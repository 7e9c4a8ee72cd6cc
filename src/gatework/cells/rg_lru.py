"""Real-gated linear recurrent unit."""

from torch import exp, expm1, sigmoid, sqrt
from torch.nn.functional import softplus

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class RGLRU(Cell):
    """A gated linear recurrence whose input is scaled so that the state keeps its size.

    The paper's input is as wide as the state; here `x.v` = W x stands for it.

    Source: De et al. (Griffin), arXiv:2402.19427 (2024), eq. 1-4.
    """

    name = "rg-lru"
    state = "h"
    gates = "r", "i", "v"
    decay = vector("a")
    c: float = 8.0

    def initialise(self, parameters, hidden_size, input_size):
        a = parameters["decay.a"].uniform_(0.9, 0.999).pow_(1 / self.c)  # a^c starts between 0.9 and 0.999
        a.copy_((1 / a - 1).log())

    def step(self, x, s, decay):
        log_a = -self.c * softplus(decay.a) * sigmoid(x.r)
        v = sigmoid(x.i) * self.drop(x.v)
        scale = sqrt((-expm1(2 * log_a)).clamp(min=1e-12))  # of 1 - a^2; the root has no derivative at 0
        return exp(log_a) * s.h + scale * v
