"""Small untrained networks of language models."""

from __future__ import annotations

import torch
from torch import Tensor

from gatework.nn import Backbone
from gatework.tasks.language.network import LanguageNet

V = 11


def small_net(seed: int = 0, **backbone: object) -> LanguageNet:
    torch.manual_seed(seed)
    given = {"embedding": 8, "hidden_size": 8, "num_layers": 2, **backbone}
    net = LanguageNet(Backbone(V, **given), V)
    with torch.no_grad():
        net.head.bias.normal_()
        net.head.weight.mul_(4)  # far from uniform
    return net.eval()


def ids(size: int, seed: int = 0) -> Tensor:
    return torch.randint(3, V, (size,), generator=torch.Generator().manual_seed(seed))
