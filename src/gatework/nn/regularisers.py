"""The random regularisers of a recurrent layer: which there are, and those that act outside the loop over time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gatework.cells import Cell
from gatework.cells.declarations import Noise
from gatework.cells.generator import SEQUENCE, uniform
from gatework.cells.regularised import Regularised, recurrent_keys
from gatework.compiler.ragged import Ragged
from gatework.compiler.weights import matrix_parameter
from gatework.errors import InputError

Rate = float | Mapping[str, float]
_CACHED = 1 << 16  # numbers drawn at a time, so that what is in between stays in the cache: 8 times as fast
_INPUT, _WEIGHTS = 1 << 16, 1 << 17  # streams of random numbers, beyond those that a cell can declare


class Regularisers:
    """What `Recurrent` drops at random; see its arguments.

    Attributes:
        training: the cell that runs in training.
        evaluation: the cell that runs in evaluation.
        rates: the arguments, each part of them spelled out; 0 for what is not used.
        outside: whether training drops something outside the loop over time.
        draws: by mode (True is training) whether a call draws random numbers, dropout between layers apart.

    Raises InputError for a rate outside [0, 1) and for a cell that a regulariser does not apply to.
    """

    def __init__(
        self,
        cell: Cell,
        hidden_size: int,
        input_size: int,
        zoneout: Rate = 0.0,
        recurrent_dropout: float = 0.0,
        variational_dropout: Rate = 0.0,
        weight_drop: float = 0.0,
    ) -> None:
        kept = _rates("zoneout", zoneout, cell.states)
        variational = _rates("variational_dropout", variational_dropout, ("input", "recurrent"))
        self.rates: dict[str, Any] = {
            "zoneout": kept if any(kept.values()) else 0.0,
            "recurrent_dropout": _rate("recurrent_dropout", recurrent_dropout),
            "variational_dropout": variational if any(variational.values()) else 0.0,
            "weight_drop": _rate("weight_drop", weight_drop),
        }
        self.input_rate, self.weight_rate = variational["input"], self.rates["weight_drop"]
        within = kept, self.rates["recurrent_dropout"], variational["recurrent"]
        self.training = self.evaluation = cell
        if any((*kept.values(), *within[1:])):
            self.training = Regularised(cell, hidden_size, input_size, True, *within)
        if any(kept.values()):
            self.evaluation = Regularised(cell, hidden_size, input_size, False, *within)
        keys = recurrent_keys(cell, hidden_size, input_size) if self.weight_rate else ()
        self.weights = tuple(matrix_parameter(cell, key)[0] for key in keys)

        self.outside = bool(self.input_rate or self.weight_rate)
        self.draws = {
            True: self.outside or bool(self.training.entries(Noise)),
            False: bool(self.evaluation.entries(Noise)),
        }

    def drop_inputs(self, x: Tensor, seed: Tensor, ragged: Ragged | None, batch_first: bool) -> Tensor:
        """A layer's input with the same features dropped at every step of a sequence."""
        if not self.input_rate:
            return x
        packed = ragged is not None and ragged.packed
        B = ragged.batch_sizes[0] if packed else x.shape[0 if batch_first else 1]  # type: ignore[union-attr]
        rows = torch.arange(B, device=x.device)
        kept = self._kept(uniform(seed[0].to(x.device), _INPUT, SEQUENCE, rows, x.shape[-1], x.dtype), self.input_rate)
        if packed:
            assert ragged is not None
            return x * torch.cat([kept[:size] for size in ragged.batch_sizes])
        return x * (kept.unsqueeze(1) if batch_first else kept)

    def drop_weights(self, params: Mapping[str, Tensor], seed: Tensor) -> dict[str, Tensor]:
        """The parameters with elements of the recurrent matrices dropped.  Merity et al., arXiv:1708.02182, section 2.

        Each element is 0 with the rate's probability, in every row of the batch and at every step, and scaled by
        1 / (1 - rate) otherwise.
        """
        found = dict(params)
        for stream, name in enumerate(self.weights, _WEIGHTS):
            weight = params[name]
            rows = torch.split(torch.arange(weight.shape[0], device=weight.device), max(1, _CACHED // weight.shape[1]))
            draw = partial(uniform, seed[0].to(weight.device), stream, SEQUENCE)
            kept = [self._kept(draw(part, weight.shape[1], weight.dtype), self.weight_rate) for part in rows]
            found[name] = weight * torch.cat(kept)
        return found

    @staticmethod
    def _kept(numbers: Tensor, rate: float) -> Tensor:
        return (numbers >= rate).to(numbers.dtype) * (1 / (1 - rate))


def _rate(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise InputError(f"{name} is {value!r}; expected a probability, 0 <= {name} < 1.")
    return float(value)


def _rates(name: str, value: Any, parts: tuple[str, ...]) -> dict[str, float]:
    """A rate for each part, from one number for all or from a mapping."""
    if not isinstance(value, Mapping):
        return dict.fromkeys(parts, _rate(name, value))
    if strange := [part for part in value if part not in parts]:
        raise InputError(f"{name} has {strange[0]!r}; expected a rate for each of {', '.join(parts)}, or one number.")
    return {part: _rate(f"{name}[{part!r}]", value.get(part, 0.0)) for part in parts}
