"""AdamW as every application uses it: decay on matrices alone, one learning rate for all groups."""

from __future__ import annotations

import torch
from torch import nn

_BETAS = 0.9, 0.98  # a shorter memory of squares than usual: runs are hundreds of steps, not many thousands


def adamw(net: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over the parameters of `net` that ask for gradients; biases and gains (one dimension) are not decayed."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=learning_rate, betas=_BETAS, fused=True)


def set_learning_rate(optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """The same learning rate for every group, from the next step on."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
