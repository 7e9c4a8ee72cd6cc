"""What the kernels are compared with, holding the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatework.nn import Recurrent

# Our name of each parameter of the two peephole peers.
TORCHRECURRENT = {
    "cells.0.weight_ih": "weight_ih_l0",
    "cells.0.weight_hh": "weight_hh_l0",
    "cells.0.bias_ih": "bias_ih_l0",
    "cells.0.bias_hh": "bias_hh_l0",
    "cells.0.weight_ph": "p_l0",
}


class PeepholeLoop(nn.Module):
    """A peephole LSTM as a careful user writes it by hand: one product for all inputs, one for all gates of a step.

    Calls as torch.nn.LSTM does: x [T, B, I] -> y [T, B, H], (h, c) each [1, B, H].
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.weight_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh_l0 = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_ih_l0 = nn.Parameter(torch.empty(4 * hidden_size))
        self.bias_hh_l0 = nn.Parameter(torch.empty(4 * hidden_size))
        self.p_l0 = nn.Parameter(torch.empty(3, hidden_size))

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over whole sequences from zero states."""
        products = F.linear(x, self.weight_ih_l0, self.bias_ih_l0 + self.bias_hh_l0)
        h = c = x.new_zeros(x.shape[1], self.p_l0.shape[1])
        p_i, p_f, p_o = self.p_l0.unbind(0)
        outputs = []
        for xt in products.unbind(0):
            i, f, g, o = (xt + F.linear(h, self.weight_hh_l0)).chunk(4, 1)
            new = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
            h, c = torch.sigmoid(o + p_o * new) * torch.tanh(new), new
            outputs.append(h)
        return torch.stack(outputs), (h[None], c[None])


def torchrecurrent_peephole(layer: Recurrent) -> nn.Module | None:
    """The peephole LSTM of torchrecurrent with the weights of a layer; None where torchrecurrent is not installed."""
    try:
        import torchrecurrent
    except ModuleNotFoundError:
        return None
    peer: nn.Module = torchrecurrent.PeepholeLSTM(layer.input_size, layer.hidden_size)
    take_weights(peer, layer, TORCHRECURRENT)
    return peer


def take_weights(peer: nn.Module, layer: nn.Module, names: Mapping[str, str] | None = None) -> None:
    """Copy the weights of a layer into a peer whose parameters have other names (`names`) or shapes, of equal sizes."""
    ours: dict[str, Any] = dict(layer.named_parameters())
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            parameter.copy_(ours[(names or {}).get(name, name)].reshape(parameter.shape))
