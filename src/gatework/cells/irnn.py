"""Rectified recurrent network that starts as a copy of its state."""

import torch
from torch import relu

from gatework.cells.cell import Cell


class IRNN(Cell):
    """A rectified unit whose recurrent matrix starts as the identity and whose biases start at zero.

    Source: Le, Jaitly & Hinton, arXiv:1504.00941 (2015), section 3.
    """

    state = "h"
    gates = ("a",)

    def initialise(self, parameters, hidden_size, input_size):
        torch.nn.init.eye_(parameters["U.a"])
        for name, parameter in parameters.items():
            if name.startswith("bias"):
                torch.nn.init.zeros_(parameter)

    def step(self, x, s, U):
        return relu(x.a + U.a @ s.h)
