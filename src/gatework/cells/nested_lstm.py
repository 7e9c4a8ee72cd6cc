"""LSTM whose cell is itself an LSTM."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class NestedLSTM(Cell):
    """The outer cell's sum is replaced by an inner LSTM with its own memory `m`; its output is the outer c.

    Source: Moniz & Krueger, arXiv:1801.10308 (2018), section 2.
    """

    state = "h", "c", "m"
    gates = "i", "f", "g", "o"
    forget_gate, input_gate = "f", "i"
    W = matrix("i", "f", "g", "o", bias=False)
    V = matrix("i", "f", "g", "o")

    def step(self, x, s, U, W, V):
        i = sigmoid(x.i + U.i @ s.h)
        f = sigmoid(x.f + U.f @ s.h)
        inner = i * self.drop(tanh(x.g + U.g @ s.h))
        kept = f * s.c
        i = sigmoid(W.i @ inner + V.i @ kept)
        f = sigmoid(W.f @ inner + V.f @ kept)
        m = f * s.m + i * tanh(W.g @ inner + V.g @ kept)
        c = sigmoid(W.o @ inner + V.o @ kept) * tanh(m)
        return sigmoid(x.o + U.o @ s.h) * tanh(c), c, m
