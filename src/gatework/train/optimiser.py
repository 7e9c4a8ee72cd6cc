"""The optimisers: decay on matrices alone, and a learning rate that each group of parameters scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from gatework.train.problem import Group
from gatework.train.settings import Training

_BETAS = 0.9, 0.98  # a shorter memory of squares than usual: runs are hundreds of steps, not many thousands
_RATES = {"adamw": 1e-3, "sgd": 0.1, "nt-asgd": 1.0}  # where neither the user nor the application says
_SWEEPS = {"adamw": (1e-5, 1.0), "sgd": (1e-3, 100.0), "nt-asgd": (1e-3, 100.0)}


def optimiser(settings: Training, groups: Sequence[Group], learning_rate: float) -> Optimizer:
    """AdamW, or gradient descent without momentum; biases and gains (one dimension) are not decayed."""
    divided = []
    for group in groups:
        matrices = [p for p in group.parameters if p.ndim > 1]
        others = [p for p in group.parameters if p.ndim <= 1]
        divided.append({"params": matrices, "weight_decay": settings.weight_decay, "rate": group.rate})
        divided.append({"params": others, "weight_decay": 0.0, "rate": group.rate})
    divided = [part for part in divided if part["params"]]
    if settings.optimiser == "adamw":
        made: Optimizer = torch.optim.AdamW(divided, lr=learning_rate, betas=_BETAS, fused=True)
    else:
        made = torch.optim.SGD(divided, lr=learning_rate, fused=True)
    set_learning_rate(made, learning_rate)
    return made


def usual_rate(settings: Training) -> float:
    """The learning rate where none is given."""
    return _RATES[settings.optimiser]


def sweep_range(settings: Training) -> tuple[float, float]:
    """Lowest and highest learning rate that the finder tries."""
    return _SWEEPS[settings.optimiser]


def set_learning_rate(optimiser: Optimizer, learning_rate: float) -> None:
    """The learning rate from the next step on, times each group's own factor."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group["rate"]


def learning_rate(optimiser: Optimizer) -> float:
    """The learning rate of a group whose factor is 1."""
    first = optimiser.param_groups[0]
    return float(first["lr"] / first["rate"])
