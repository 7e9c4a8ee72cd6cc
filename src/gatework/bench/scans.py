"""SRU, QRNN and minLSTM in PyTorch, written twice: step by step, and with all that sees no state before the loop."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gatework.bench.loops import Loop
from gatework.nn import Recurrent


class _Sized(Loop):
    """A loop that knows its units."""

    def __init__(self, layer: Recurrent) -> None:
        super().__init__(layer)
        self.hidden_size = layer.hidden_size


class Steps(_Sized):
    """A cell that is called once a step, its input product included: what one writes first."""

    states = 1  # how many the cell has

    def step(self, x: Tensor, a: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """New states [B, H], the output first, from the input, its product and the old states."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run x [T, B, I] from zero states."""
        states: tuple[Tensor, ...] = (x.new_zeros(x.shape[1], self.hidden_size),) * self.states
        outputs = []
        for xt in x.unbind(0):
            states = self.step(xt, F.linear(xt, self.weight_ih_l0, self.bias_ih_l0), states)
            outputs.append(states[0])
        return torch.stack(outputs), tuple(s[None] for s in states)


class SRUSteps(Steps):
    """The simple recurrent unit, step by step; its highway takes x itself where no fourth product is made for it."""

    states = 2

    def step(self, x: Tensor, a: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """New h and c."""
        (z, f, r, *k), c, (p_f, p_r) = torch.split(a, self.hidden_size, 1), states[1], self.p_l0.unbind(0)
        f, r = torch.sigmoid(f + p_f * c), torch.sigmoid(r + p_r * c)
        c = f * c + (1 - f) * z
        return r * c + (1 - r) * (k[0] if k else x), c


class QRNNSteps(Steps):
    """The quasi-recurrent network of window 2, step by step: the filter's later half waits in the state."""

    states = 5

    def step(self, x: Tensor, a: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """New h and c, and what waits for the next step."""
        z, f, o, *later = a.chunk(6, 1)
        f = torch.sigmoid(f + states[3])
        c = f * states[1] + (1 - f) * torch.tanh(z + states[2])
        return torch.sigmoid(o + states[4]) * c, c, *later


class MinLSTMSteps(Steps):
    """minLSTM, step by step."""

    def step(self, x: Tensor, a: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The new h."""
        f, i, n = a.chunk(3, 1)
        f = torch.sigmoid(F.logsigmoid(f) - F.logsigmoid(i))
        return (f * states[0] + (1 - f) * n,)


class SRULoop(_Sized):
    """The simple recurrent unit: only what meets the state is left in the loop."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run x [T, B, I] from zero states."""
        z, f, r, *k = torch.split(F.linear(x, self.weight_ih_l0, self.bias_ih_l0), self.hidden_size, 2)
        p_f, p_r = self.p_l0.unbind(0)
        c = x.new_zeros(z.shape[1:])
        cells = [c]
        for zt, ft in zip(z.unbind(0), f.unbind(0), strict=True):
            ft = torch.sigmoid(ft + p_f * c)
            c = ft * c + (1 - ft) * zt
            cells.append(c)
        cs = torch.stack(cells)
        r = torch.sigmoid(r + p_r * cs[:-1])
        y = r * cs[1:] + (1 - r) * (k[0] if k else x)
        return y, (y[-1:], c[None])


class QRNNLoop(_Sized):
    """The quasi-recurrent network of window 2: a filter over all steps at once, then the pooling loop."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run x [T, B, I] from zero states."""
        now, later = F.linear(x, self.weight_ih_l0, self.bias_ih_l0).chunk(2, 2)
        z, f, o = (now + F.pad(later[:-1], (0, 0, 0, 0, 1, 0))).chunk(3, 2)
        f = torch.sigmoid(f)
        c, cells = x.new_zeros(z.shape[1:]), []
        for ft, at in zip(f.unbind(0), ((1 - f) * torch.tanh(z)).unbind(0), strict=True):
            c = ft * c + at
            cells.append(c)
        y = torch.sigmoid(o) * torch.stack(cells)
        return y, (y[-1:], c[None], *(last[None] for last in later[-1].chunk(3, 1)))


class MinLSTMLoop(_Sized):
    """minLSTM: gates of all steps at once, then the loop."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run x [T, B, I] from a zero state."""
        f, i, n = F.linear(x, self.weight_ih_l0, self.bias_ih_l0).chunk(3, 2)
        f = torch.sigmoid(F.logsigmoid(f) - F.logsigmoid(i))
        h, outputs = x.new_zeros(n.shape[1:]), []
        for ft, at in zip(f.unbind(0), ((1 - f) * n).unbind(0), strict=True):
            h = ft * h + at
            outputs.append(h)
        return torch.stack(outputs), h[None]


STEPS: dict[str, type[_Sized]] = {"sru": SRUSteps, "qrnn": QRNNSteps, "min-lstm": MinLSTMSteps}
LOOPS: dict[str, type[_Sized]] = {"sru": SRULoop, "qrnn": QRNNLoop, "min-lstm": MinLSTMLoop}
