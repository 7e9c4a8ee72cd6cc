"""Quasi-recurrent network: convolutions over time, then a gated sum."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.errors import CellError


class QRNN(Cell):
    """fo-pooling over masked convolutions of `window` steps.

    `x.z1` is the part of the filter that meets the input one step ago: it is computed with the others before the loop
    and waits in a state, so that every product leaves the loop and a stream can go on. Its bias joins with it.

    Source: Bradbury, Merity, Xiong & Socher, arXiv:1611.01576 (2016), eq. 1 and 4.
    """

    name = "qrnn"
    gates = "z", "f", "o"
    forget_gate = "f"
    window: int = 2

    def check_options(self):
        if self.window < 1:
            raise CellError(f"window is {self.window}; expected the width of the convolution in steps, >= 1.")

    def declare(self):
        waiting = [f"{gate}{lag}" for lag in range(1, self.window) for gate in "zfo"]
        return {"state": ("h", "c", *waiting), "gates": ("z", "f", "o", *waiting)}

    def step(self, x, s):
        def arrived(gate, lag):
            return x[f"{gate}{lag or ''}"] + s[f"{gate}{lag + 1}"] if lag + 1 < self.window else x[f"{gate}{lag or ''}"]

        z, f, o = tanh(arrived("z", 0)), sigmoid(arrived("f", 0)), sigmoid(arrived("o", 0))
        c = f * s.c + (1 - f) * self.drop(z)
        return o * c, c, *(arrived(gate, lag) for lag in range(1, self.window) for gate in "zfo")
