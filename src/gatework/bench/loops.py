"""Cells as a careful user writes them in PyTorch: one product for the inputs of all steps, then a loop over time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LSTMState = tuple[Tensor, tuple[Tensor, Tensor]]


class Loop(nn.Module):
    """The base of the loops: the parameters of one of our layers under the same names.

    Calls as the layer does: x [T, B, ...] -> y [T, B, ...], final state or states [1, B, ...].
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        for name, parameter in layer.named_parameters():
            self.register_parameter(name, nn.Parameter(parameter.detach().clone()))

    def __getattr__(self, name: str) -> Tensor:
        return super().__getattr__(name)  # type: ignore[return-value]  # parameters are all that a loop has


def _lstm(a: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """New h and c from the summed products of i, f, g, o, side by side in axis 1."""
    i, f, g, o = a.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


class ConvLSTMLoop(Loop):
    """The ConvLSTM of most repositories: one convolution of x and h side by side in each step."""

    def forward(self, x: Tensor) -> LSTMState:
        """Run x [T, B, I, *space] from zero states."""
        weight = torch.cat([self.weight_ih_l0, self.weight_hh_l0], 1)
        bias = self.bias_ih_l0 + self.bias_hh_l0
        h = c = x.new_zeros(x.shape[1], weight.shape[0] // 4, *x.shape[3:])
        outputs = []
        for xt in x.unbind(0):
            h, c = _lstm(F.conv2d(torch.cat([xt, h], 1), weight, bias, padding=self.weight_hh_l0.shape[-1] // 2), c)
            outputs.append(h)
        return torch.stack(outputs), (h[None], c[None])


class HoistedConvLSTMLoop(Loop):
    """A ConvLSTM with the convolutions of all inputs done at once before the loop."""

    def forward(self, x: Tensor) -> LSTMState:
        """Run x [T, B, I, *space] from zero states."""
        bias = self.bias_ih_l0 + self.bias_hh_l0
        products = F.conv2d(x.flatten(0, 1), self.weight_ih_l0, bias, padding=self.weight_hh_l0.shape[-1] // 2).view(
            *x.shape[:2], -1, *x.shape[3:]
        )
        h = c = x.new_zeros(x.shape[1], bias.shape[0] // 4, *x.shape[3:])
        outputs = []
        for xt in products.unbind(0):
            h, c = _lstm(xt + F.conv2d(h, self.weight_hh_l0, padding=self.weight_hh_l0.shape[-1] // 2), c)
            outputs.append(h)
        return torch.stack(outputs), (h[None], c[None])


class MogrifierLoop(Loop):
    """The Mogrifier LSTM: x and h scale each other by turns, so no product of x can leave the loop."""

    def forward(self, x: Tensor) -> LSTMState:
        """Run x [T, B, I] from zero states."""
        Q, R = torch.split(self.weight_Q_l0, x.shape[2]), torch.split(self.weight_R_l0, self.weight_hh_l0.shape[1])
        weight, bias = torch.cat([self.weight_ih_l0, self.weight_hh_l0], 1), self.bias_ih_l0 + self.bias_hh_l0
        h = c = x.new_zeros(x.shape[1], R[0].shape[0])
        outputs = []
        for xt in x.unbind(0):
            for k, q in enumerate(Q):
                xt = 2 * torch.sigmoid(F.linear(h, q)) * xt
                if k < len(R):
                    h = 2 * torch.sigmoid(F.linear(xt, R[k])) * h
            h, c = _lstm(F.linear(torch.cat([xt, h], 1), weight, bias), c)
            outputs.append(h)
        return torch.stack(outputs), (h[None], c[None])


class HyperLSTMLoop(Loop):
    """The HyperLSTM: products of all gates side by side, those of the inputs before the loop."""

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Run x [T, B, I] from zero states."""
        B, H, small = x.shape[1], self.weight_hh_l0.shape[1], self.weight_V_l0.shape[1]
        D = self.weight_D_l0.view(8, H, -1).mT
        own = F.linear(x, self.weight_ih_l0, self.bias_ih_l0 + self.bias_S_l0)
        main = F.linear(x, self.weight_W_l0).view(*x.shape[:2], 4, H)
        weight = torch.cat([self.weight_S_l0, self.weight_V_l0], 1)
        h = c = x.new_zeros(B, H)
        hh = hc = x.new_zeros(B, small)
        outputs = []
        for a, wx in zip(own.unbind(0), main.unbind(0), strict=True):
            a = (a + F.linear(torch.cat([h, hh], 1), weight)).view(B, 4, small)
            hh, hc = self._normed(a, hc, self.small_l0)
            scales = F.linear(hh, self.weight_A_l0, self.bias_A_l0).view(B, 8, -1).transpose(0, 1)
            by_h, by_x = torch.bmm(scales, D).transpose(0, 1).chunk(2, 1)  # [B, 4, H] each
            shift = F.linear(hh, self.weight_Ab_l0).view(B, 4, -1).transpose(0, 1)
            shift = torch.bmm(shift, self.weight_Db_l0.view(4, H, -1).mT).transpose(0, 1)
            a = by_h * F.linear(h, self.weight_hh_l0).view(B, 4, H) + by_x * wx + shift + self.bias_Db_l0.view(4, H)
            h, c = self._normed(a, c, self.gain_l0)
            outputs.append(h)
        return torch.stack(outputs), (h[None], c[None], hh[None], hc[None])

    @staticmethod
    def _normed(a: Tensor, c: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        """An LSTM step on [B, 4, H], each gate normalised, and the cell before it is squashed."""
        i, f, g, o = (F.layer_norm(a, a.shape[-1:]) * gain[:4]).unbind(1)
        c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(F.layer_norm(c, c.shape[-1:], gain[4])), c


LOOPS: dict[str, type[Loop]] = {"mogrifier-lstm": MogrifierLoop, "hyper-lstm": HyperLSTMLoop}
