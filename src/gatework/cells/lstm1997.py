"""The first long short-term memory, without a forget gate."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell


class LSTM1997(Cell):
    """The constant error carousel: the cell only ever adds.  Both of the paper's squashing functions are tanh here.

    Source: Hochreiter & Schmidhuber, Neural Computation 9(8) (1997), section 4.
    """

    state = "h", "c"
    gates = "i", "g", "o"
    input_gate = "i"

    def step(self, x, s, U):
        i = sigmoid(x.i + U.i @ s.h)
        g = tanh(x.g + U.g @ s.h)
        o = sigmoid(x.o + U.o @ s.h)
        c = s.c + i * self.drop(g)
        return o * tanh(c), c
