"""LSTM with a time gate for events at any time."""

import math

import torch
from torch import floor, sigmoid, tanh, where

from gatework.cells.cell import Cell
from gatework.cells.declarations import per_step, vector


class PhasedLSTM(Cell):
    """Each unit is open for a part `ratio` of its period `tau`, from `shift` on; `t` is the time of the step.

    Set `leak` to 0 (paper: 0.001 while training) for prediction. Peepholes as in the paper, o on the proposed cell.

    Source: Neil, Pfeiffer & Liu, arXiv:1610.09513 (2016), eq. 2-10.
    """

    state = "h", "c"
    gates = "i", "f", "g", "o"
    forget_gate, input_gate = "f", "i"
    p = vector("i", "f", "o")
    k = vector("tau", "shift", "ratio", start=0.05)
    e = per_step("t", default="position")
    leak: float = 0.001

    def initialise(self, parameters, hidden_size, input_size):
        tau = parameters["k.tau"].uniform_(0, math.log(1000)).exp_()
        parameters["k.shift"].copy_(torch.rand_like(tau) * tau)

    def step(self, x, s, U, p, k, e):
        cycles, r = (e.t - k.shift) / abs(k.tau), abs(k.ratio)
        phase = cycles - floor(cycles)
        gate = where(phase < r / 2, 2 * phase / r, where(phase < r, 2 - 2 * phase / r, self.leak * phase))
        i = sigmoid(x.i + U.i @ s.h + p.i * s.c)
        f = sigmoid(x.f + U.f @ s.h + p.f * s.c)
        c = f * s.c + i * self.drop(tanh(x.g + U.g @ s.h))
        h = sigmoid(x.o + U.o @ s.h + p.o * c) * tanh(c)
        return gate * h + (1 - gate) * s.h, gate * c + (1 - gate) * s.c
