"""The simple recurrent network."""

from torch import relu, tanh

from gatework.cells.cell import Cell
from gatework.errors import CellError


class RNN(Cell):
    """One state, no gates; `nonlinearity` is "tanh" or "relu".  Source: Elman, Cognitive Science 14 (1990)."""

    state = "h"
    gates = ("a",)
    nonlinearity: str = "tanh"

    def check_options(self) -> None:
        if self.nonlinearity not in ("tanh", "relu"):
            raise CellError(f"nonlinearity is {self.nonlinearity!r}; expected 'tanh' or 'relu'.")

    def step(self, x, s, U):
        squash = tanh if self.nonlinearity == "tanh" else relu
        return squash(x.a + U.a @ s.h)
