"""LSTM that learns which steps to skip."""

from torch import minimum, round, sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix
from gatework.cells.rows import straight_through


class SkipLSTM(Cell):
    """Updates when the accumulated probability `due` rounds to 1; gradients go straight through the rounding.

    `rest` is 1 minus the increment, so that zeros begin a sequence with an update, as in the paper.

    Source: Campos et al., arXiv:1708.06834 (2017), eq. 2-6.
    """

    state = "h", "c", "rest", "due"
    gates = "i", "f", "g", "o"
    sizes = {"s.rest": 1, "s.due": 1}
    forget_gate, input_gate = "f", "i"
    P = matrix("c", rows=1)

    def initialise(self, parameters, hidden_size, input_size):
        if "bias.P.c" in parameters:
            parameters["bias.P.c"].fill_(1.0)

    def step(self, x, s, U, P):
        due = s.due + minimum(1 - s.rest, 1 - s.due)
        update = straight_through(round(due), due)
        i = sigmoid(x.i + U.i @ s.h)
        f = sigmoid(x.f + U.f @ s.h)
        c = f * s.c + i * self.drop(tanh(x.g + U.g @ s.h))
        h = sigmoid(x.o + U.o @ s.h) * tanh(c)
        rest = update * (1 - sigmoid(P.c @ c)) + (1 - update) * s.rest
        return update * h + (1 - update) * s.h, update * c + (1 - update) * s.c, rest, (1 - update) * due
