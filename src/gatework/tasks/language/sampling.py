"""How the next token is drawn: the settings of generation, checked, and one draw of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gatework.errors import InputError
from gatework.tasks.language import filters

_WHOLE: dict[str, tuple[int, int | None]] = {"top_k": (0, None), "no_repeat": (0, 100), "window": (1, 1_000_000)}
_REAL: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 1000.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "typical": (0.0, 1.0),
    "repetition_penalty": (0.0, 1000.0),
}
_ABOVE = ("top_p", "typical", "repetition_penalty")  # 0 is out of range


@dataclass(frozen=True)
class Sampling:
    """Settings of a draw; the filters stand in the order in which they are applied, and are off by default.

    Attributes:
        repetition_penalty: factor on the log-probabilities of recent tokens; above 1 they become rarer, 1 = off.
        no_repeat: no run of so many tokens comes twice; 0 = off.
        temperature: below 1 sharper, above 1 flatter, 0 = always the most probable token.
        top_k: how many of the most probable tokens are left; 0 = all.
        top_p: probability that the most probable tokens left hold together; 1 = all.
        min_p: least probability of a token, as a share of the most probable one's; 0 = none.
        typical: probability that the most typical tokens left hold together; 1 = all.
        window: how many of the last tokens count as recent, so that what is remembered stays the same size.

    Raises InputError for values out of range.
    """

    repetition_penalty: float = 1.0
    no_repeat: int = 0
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical: float = 1.0
    window: int = 1024

    def __post_init__(self) -> None:
        for name, (least, most) in _WHOLE.items():
            whole_number(name, getattr(self, name), least, most)
        for name, (low, high) in _REAL.items():
            value = getattr(self, name)
            fits = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
            if not fits or (name in _ABOVE and value == 0):
                hint = "; 0 takes the most probable token every time" if name == "temperature" else ""
                start = f"above {low:g}" if name in _ABOVE else f"{low:g}"
                raise InputError(f"{name} is {value!r}; expected a number, {start} to {high:g}{hint}.")

    @property
    def remembers(self) -> bool:
        """Whether recent tokens matter."""
        return self.repetition_penalty != 1 or self.no_repeat > 0

    def penalised(self, scores: Tensor, recent: Sequence[Sequence[int]]) -> Tensor:
        """Log-probabilities [B, V] after what looks at each row's `recent` tokens; need not sum to one."""
        if self.repetition_penalty != 1:
            scores = filters.repetition_penalty(scores, recent, self.repetition_penalty)
        if self.no_repeat:
            scores = filters.no_repeat(scores, recent, self.no_repeat)
        return scores

    def filtered(self, scores: Tensor, recent: Sequence[Sequence[int]]) -> Tensor:
        """Log-probabilities [B, V] after every filter; need not sum to one."""
        scores = self.penalised(scores, recent)
        chain: tuple[tuple[Callable[[Tensor, Any], Tensor], float, float], ...] = (
            (filters.tempered, self.temperature, 1),
            (filters.top_k, self.top_k, 0),
            (filters.top_p, self.top_p, 1),
            (filters.min_p, self.min_p, 0),
            (filters.typical, self.typical, 1),
        )
        for apply, value, off in chain:
            if value != off:
                scores = apply(scores, value)
        return scores

    def draw(
        self, scores: Tensor, recent: Sequence[Sequence[int]], randoms: Sequence[np.random.Generator]
    ) -> list[int]:
        """One token of each row of `scores` [B, V], each row with its own source of random numbers."""
        if self.temperature == 0:
            greedy: list[int] = self.penalised(scores, recent).argmax(-1).tolist()
            return greedy
        total = self.filtered(scores, recent).softmax(-1, torch.float64).cumsum(-1).numpy()
        return [
            int(row.searchsorted(random.random() * row[-1], "right"))
            for row, random in zip(total, randoms, strict=True)
        ]


def whole_number(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raise InputError unless `value` is a whole number from `least` to `most`."""
    if (
        not isinstance(value, int)
        or isinstance(value, bool)
        or not least <= value <= (math.inf if most is None else most)
    ):
        upper = " or more" if most is None else f" to {most}"
        raise InputError(f"{name} is {value!r}; expected a whole number, {least}{upper}.")
