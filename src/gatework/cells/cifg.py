"""LSTM with coupled input and forget gates."""

from __future__ import annotations

from typing import Any

from torch import Tensor, sigmoid, tanh

from gatework.cells.cell import Cell


class CIFG(Cell):
    """Coupled gates: what is not forgotten is not written, i = 1 - f.  Source: Greff et al., arXiv:1503.04069 (2015)."""

    state = "h", "c"
    gates = "f", "g", "o"
    forget_gate = "f"

    def step(self, x: Any, s: Any, U: Any) -> tuple[Tensor, Tensor]:
        f = sigmoid(x.f + U.f @ s.h)
        g = tanh(x.g + U.g @ s.h)
        o = sigmoid(x.o + U.o @ s.h)
        c = f * s.c + (1 - f) * g
        return o * tanh(c), c
