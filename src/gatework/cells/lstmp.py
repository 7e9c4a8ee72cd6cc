"""LSTM with a projection of its output."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix
from gatework.errors import CellError


class LSTMP(Cell):
    """The recurrent matrices see a projection of P = proj_size units; as torch.nn.LSTM(proj_size=P).

    `proj_size` is None for as many as there are units.

    Source: Sak, Senior & Beaufays, arXiv:1402.1128 (2014), eq. 1-6.
    """

    state = "h", "c"
    gates = "i", "f", "g", "o"
    forget_gate, input_gate = "f", "i"
    proj_size: int | None = None

    def check_options(self):
        P = self.proj_size
        if P is not None and (not isinstance(P, int) or isinstance(P, bool) or P < 1):
            raise CellError(f"proj_size is {P!r}; expected a whole number >= 1, or None for hidden_size.")

    def declare(self):
        P = self.proj_size or "H"
        projection = matrix("h", rows=P, bias=False, parameter="hr")
        return {"sizes": {"s.h": P}, "U": matrix(*self.gate_names, columns=P), "V": projection}

    def step(self, x, s, U, V):
        i = sigmoid(x.i + U.i @ s.h)
        f = sigmoid(x.f + U.f @ s.h)
        g = tanh(x.g + U.g @ s.h)
        o = sigmoid(x.o + U.o @ s.h)
        c = f * s.c + i * self.drop(g)
        return V.h @ (o * tanh(c)), c
