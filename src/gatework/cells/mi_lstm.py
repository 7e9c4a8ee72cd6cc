"""LSTM with multiplicative integration of input and state."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class MILSTM(Cell):
    """Every sum W x + U h is replaced by alpha * W x * U h + beta1 * U h + beta2 * W x.

    Source: Wu et al., arXiv:1606.06630 (2016), section 2.
    """

    name = "mi-lstm"
    state = "h", "c"
    gates = "i", "f", "g", "o"
    forget_gate, input_gate = "f", "i"
    alpha = vector("i", "f", "g", "o", start=1.0)
    beta1 = vector("i", "f", "g", "o", start=1.0)
    beta2 = vector("i", "f", "g", "o", start=1.0)

    def step(self, x, s, U, alpha, beta1, beta2):
        def meet(gate):
            v = U[gate] @ s.h
            return alpha[gate] * x[gate] * v + beta1[gate] * v + beta2[gate] * x[gate]

        c = sigmoid(meet("f")) * s.c + sigmoid(meet("i")) * self.drop(tanh(meet("g")))
        return sigmoid(meet("o")) * tanh(c), c
