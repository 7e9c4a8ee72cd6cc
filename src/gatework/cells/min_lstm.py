"""minLSTM: an LSTM whose gates do not see the state."""

from torch import sigmoid
from torch.nn.functional import logsigmoid

from gatework.cells.cell import Cell


class MinLSTM(Cell):
    """Forget and input gate are scaled to a sum of one; linear in its state.

    f / (f + i) is written as the sigmoid of log f - log i, which holds where both gates underflow.

    Source: Feng et al., arXiv:2410.01201 (2024), section 3.2.
    """

    state = "h"
    gates = "f", "i", "n"
    forget_gate, input_gate = "f", "i"

    def step(self, x, s):
        f = sigmoid(logsigmoid(x.f) - logsigmoid(x.i))
        return f * s.h + (1 - f) * self.drop(x.n)
