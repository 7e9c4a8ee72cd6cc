"""A predictor whose every probability is known: the next token depends on the last two, by a table."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

LETTERS = "##\nabcdefgh"


class Markov:
    """Probabilities of the next of V tokens after each pair; counts how often it is asked."""

    def __init__(self, V: int = 8, seed: int = 0, spread: float = 1.5) -> None:
        table = spread * torch.randn(V, V, V, generator=torch.Generator().manual_seed(seed))
        self.table = table.log_softmax(-1)
        self.steps = 0

    def start(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        pairs = torch.tensor([[0, *prompt][-2:] for prompt in prompts])
        return self.table[pairs[:, 0], pairs[:, 1]], pairs

    def step(self, ids: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        self.steps += 1
        pairs = torch.stack([state[:, 1], ids], 1)
        return self.table[pairs[:, 0], pairs[:, 1]], pairs

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows]

    def chance(self, prompt: Sequence[int], tokens: Sequence[int]) -> float:
        """Log-probability of `tokens` after `prompt`."""
        every = [0, *prompt, *tokens]
        places = range(len(every) - len(tokens), len(every))
        return sum(float(self.table[every[i - 2], every[i - 1], every[i]]) for i in places)


class Letters:
    """Ids 0.. as letters; id 2 is a line break."""

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(LETTERS[i] for i in ids)
