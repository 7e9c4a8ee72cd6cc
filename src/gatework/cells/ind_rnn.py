"""Independently recurrent network."""

import torch
from torch import relu

from gatework.cells.cell import Cell
from gatework.cells.declarations import vector


class IndRNN(Cell):
    """Each unit sees only itself, so that its memory is one number u.  Keep |u| <= 2^(1/T) for sequences of T steps.

    Source: Li et al., arXiv:1803.04831 (2018), eq. 2.
    """

    state = "h"
    gates = ("a",)
    u = vector("a")

    def initialise(self, parameters, hidden_size, input_size):
        torch.nn.init.uniform_(parameters["u.a"], 0, 1)

    def step(self, x, s, u):
        return relu(x.a + u.a * s.h)
