"""One layer and direction: a cell with its weights, traced, and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from gatework.cells import Cell
from gatework.cells.declarations import Extra, Noise
from gatework.compiler.graph import Unsupported
from gatework.compiler.weights import declared_values, gate_widths, state_widths
from gatework.export.standard import Match, recognise
from gatework.export.step import Step, trace_step


@dataclass(frozen=True)
class Sequences:
    """What a layer reads, as names of values in the graph.

    Attributes:
        x: inputs [T, B, I].
        extra: further inputs of each step [T, B, size] by declaration and name.
        lengths: [B] whole numbers, or None.
        positions: writes [T] 0, 1, 2, ... where it is needed, and gives its name.
    """

    x: str
    extra: Mapping[str, str]
    lengths: str | None
    positions: Callable[[], str]


@dataclass(frozen=True)
class Direction:
    """A cell with its weights.

    Attributes:
        cell: the equations, as they are in evaluation.
        params: dense parameters by the names of `parameter_shapes`.
        widths: of the states.
        reverse: from each sequence's last step to its first.
        step: the traced step; its leaves are gates, the raw input, states and extra inputs.
        match: the standard node that it is, or None.
    """

    cell: Cell
    params: Mapping[str, Tensor]
    widths: tuple[int, ...]
    reverse: bool
    step: Step
    match: Match | None

    @property
    def dtype(self) -> torch.dtype:
        """Of states and weights."""
        dtype: torch.dtype = self.step.results[0].meta["val"].dtype
        return dtype


def direction(
    cell: Cell, params: Mapping[str, Tensor], hidden_size: int, input_size: int, reverse: bool, dtype: torch.dtype
) -> Direction:
    """Trace a cell with its weights.

    Raises Unsupported, naming the operation, where the step cannot become one graph of ATen operations.
    """
    if noise := [name for _, name, _ in cell.entries(Noise)]:
        raise Unsupported(f"cell {cell.name} draws random numbers ({', '.join(noise)}), which a file cannot hold.")
    widths = state_widths(cell, hidden_size, input_size)
    extras = [(key, name, cell.measure(d.size, hidden_size, input_size)) for key, name, d in cell.entries(Extra)]
    sizes = [*gate_widths(cell, hidden_size, input_size), input_size, *widths, *(size for *_, size in extras)]
    fixed, gates = declared_values(cell, params, hidden_size, input_size), len(cell.gate_names)

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        x = dict(zip((*cell.gate_names, "raw"), values, strict=False))
        s = dict(zip(cell.states, values[gates + 1 :], strict=False))
        given: dict[str, dict[str, Tensor]] = {}
        for (key, name, _), value in zip(extras, values[gates + 1 + len(widths) :], strict=True):
            given.setdefault(key, {})[name] = value
        return cell.apply(x, s, fixed | given)

    step = trace_step(function, lambda batch: [torch.full((batch, size), 0.5, dtype=dtype) for size in sizes])
    roles = [("gate", k) for k in range(gates)] + [("raw", 0)] + [("state", k) for k in range(len(widths))]
    square = all(size == hidden_size for k, size in enumerate(sizes) if k != gates)
    plain = square and not extras and dtype == torch.float32  # runtimes have these nodes' kernels in float32 alone
    match = recognise(step, roles) if plain else None
    return Direction(cell, params, tuple(widths), reverse, step, match)
