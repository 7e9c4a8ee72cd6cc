"""LSTM with layer normalisation."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector
from gatework.cells.rows import layer_norm
from gatework.errors import CellError


class LayerNormLSTM(Cell):
    """`placement="products"`, the paper's: W x and U h are normalised apart; "sum": W x + U h is, for each gate.

    Both normalise each gate by itself and the new cell before it is squashed; gains start at 1 (for U h: `gain_h`).

    Source: Ba, Kiros & Hinton, arXiv:1607.06450 (2016), eq. 20-22.
    """

    state = "h", "c"
    gates = "i", "f", "g", "o"
    forget_gate, input_gate = "f", "i"
    gain_x = vector("i", "f", "g", "o", start=1.0)
    gain_h = vector("i", "f", "g", "o", start=1.0)
    shift = vector("i", "f", "g", "o", "c", start=0.0)
    gain_c = vector("c", start=1.0)
    placement: str = "products"

    def check_options(self):
        if self.placement not in ("products", "sum"):
            raise CellError(f"placement is {self.placement!r}; expected 'products' or 'sum'.")

    def declare(self):
        return {} if self.placement == "products" else {"gain_x": None}

    def step(self, x, s, U, gain_x, gain_h, shift, gain_c):
        def normed(gate):
            if self.placement == "sum":
                return layer_norm(x[gate] + U[gate] @ s.h, gain_h[gate], shift[gate])
            return layer_norm(x[gate], gain_x[gate], shift[gate]) + layer_norm(U[gate] @ s.h, gain_h[gate])

        c = sigmoid(normed("f")) * s.c + sigmoid(normed("i")) * self.drop(tanh(normed("g")))
        return sigmoid(normed("o")) * tanh(layer_norm(c, gain_c.c, shift.c)), c
