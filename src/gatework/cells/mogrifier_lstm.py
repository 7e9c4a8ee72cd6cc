"""LSTM whose input and state gate each other before the step."""

from torch import sigmoid, tanh

from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix


class MogrifierLSTM(Cell):
    """`rounds` times in turn the state scales the input and the input the state; `rank` > 0 factors these maps.

    The authors' code has biases in these maps and caps the input gate at 1 - f; the paper has neither, nor has this.

    Source: Melis, Kocisky & Blunsom, arXiv:1909.01792 (2019), eq. 1-2.
    """

    state = "h", "c"
    W = matrix("i", "f", "g", "o", columns="I", parameter="ih")
    U = matrix("i", "f", "g", "o")
    rounds: int = 5
    rank: int = 0

    def declare(self):
        odd, even = ([f"r{k}" for k in range(first, self.rounds + 1, 2)] for first in (1, 2))
        low = bool(self.rank)
        return {
            "Q": matrix(*odd, rows="I", columns="rank" if low else "H", bias=False) if odd else None,
            "R": matrix(*even, columns="rank" if low else "I", bias=False) if even else None,
            "Qr": matrix(*odd, rows="rank", bias=False) if odd and low else None,
            "Rr": matrix(*even, rows="rank", columns="I", bias=False) if even and low else None,
        }

    def step(self, x, s, W, U, Q, R, Qr, Rr):
        v, h = x.raw, s.h
        for k in range(1, self.rounds + 1, 2):
            v = 2 * sigmoid(Q[f"r{k}"] @ (Qr[f"r{k}"] @ h if self.rank else h)) * v
            if k < self.rounds:
                h = 2 * sigmoid(R[f"r{k + 1}"] @ (Rr[f"r{k + 1}"] @ v if self.rank else v)) * h
        i = sigmoid(W.i @ v + U.i @ h)
        f = sigmoid(W.f @ v + U.f @ h)
        c = f * s.c + i * self.drop(tanh(W.g @ v + U.g @ h))
        return sigmoid(W.o @ v + U.o @ h) * tanh(c), c
