"""A small noisy regression that trains in milliseconds, and a script that trains it in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gatework.train.fit import fit
from gatework.train.problem import Batch, Problem
from gatework.train.settings import Training


class Shuffled:
    """Shuffled passes over `size` examples; the state names the next batch."""

    def __init__(self, size: int, batch_size: int, seed: int = 0) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.epoch, self.next = 0, 0

    def __len__(self) -> int:
        return self.size // self.batch_size

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(self.size, generator=torch.Generator().manual_seed(self.seed + self.epoch))
        while self.next < len(self):
            self.next += 1
            yield order[(self.next - 1) * self.batch_size : self.next * self.batch_size]
        self.epoch, self.next = self.epoch + 1, 0

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "next": self.next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.next = state["epoch"], state["next"]


def regression(seed: int = 0, size: int = 96, noise: float = 0.1, width: int = 16) -> Problem:
    """y = sin(3 x) + noise, learnt by two layers with dropout (so that random states matter)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(size + 64, 1, generator=generator) * 2 - 1
    y = torch.sin(3 * x) + noise * torch.randn(size + 64, 1, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Dropout(0.1), nn.Linear(width, 1))

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        return nn.functional.mse_loss(net(batch["x"]), batch["y"])

    def batch(numbers: Tensor) -> Batch:
        return {"x": x[numbers], "y": y[numbers]}

    def validate(net: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            return {"mse": float(nn.functional.mse_loss(net(x[size:]), y[size:]))}

    return Problem(net, loss, Shuffled(size, 16), batch, validate, "mse", "points")


class Memory:
    """A keeper that holds the state in memory, as independent copies."""

    def __init__(self) -> None:
        self.saved: dict[str, Any] | None = None
        self.saves = 0

    def save(self, state: dict[str, Any]) -> None:
        import copy

        self.saved = copy.deepcopy(state)
        self.saves += 1

    def load(self) -> dict[str, Any] | None:
        return self.saved


def weights(net: nn.Module) -> Tensor:
    """All parameters as one vector."""
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def stopped(problem: Problem, settings: Training, after: int) -> Memory:
    """Train until the save after step `after`, as if the machine had gone down there; returns what was saved."""

    class Stops(Memory):
        def save(self, state: dict[str, Any]) -> None:
            super().save(state)
            if state["step"] >= after:
                raise ConnectionAbortedError

    keeper, held = Stops(), Memory()
    with pytest.raises(ConnectionAbortedError):
        fit(problem, settings, keeper)
    held.saved = keeper.saved
    return held
