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
from gatework.export.step import Step, Trace, trace_step


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


NODES_IN = (torch.float32,)  # what runtimes have the kernels of the standard nodes for
Traces = dict[tuple[object, ...], Trace]


def direction(
    cell: Cell,
    params: Mapping[str, Tensor],
    hidden_size: int,
    input_size: int,
    reverse: bool,
    dtype: torch.dtype,
    known: Traces,
) -> Direction:
    """Trace a cell with its weights; `known` keeps the traces of one layer's cell, which its directions share.

    Raises Unsupported, naming the operation, where the step cannot become one graph of ATen operations.
    """
    if noise := [name for _, name, _ in cell.entries(Noise)]:
        raise Unsupported(f"cell {cell.name} draws random numbers ({', '.join(noise)}), which a file cannot hold.")
    widths = state_widths(cell, hidden_size, input_size)
    further = [cell.measure(d.size, hidden_size, input_size) for _, _, d in cell.entries(Extra)]
    gates = len(cell.gate_names)
    sizes = [*gate_widths(cell, hidden_size, input_size), input_size, *widths, *further]
    hoisted = ("weight_ih", "bias_ih") if gates else ()  # they leave the loop; without gates a matrix may be called so
    names = [name for name in params if name not in hoisted]

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        given = iter(values)
        x = {name: next(given) for name in (*cell.gate_names, "raw")}
        s = {name: next(given) for name in cell.states}
        extras: dict[str, dict[str, Tensor]] = {}
        for key, name, _ in cell.entries(Extra):
            extras.setdefault(key, {})[name] = next(given)
        weights = {name: next(given) for name in names}
        return cell.apply(x, s, declared_values(cell, weights, hidden_size, input_size) | extras)

    weights = [params[name] for name in names]
    key = (*sizes, *(tuple(w.shape) for w in weights))
    if key not in known:
        known[key] = trace_step(
            function, lambda batch: [torch.full((batch, size), 0.5, dtype=dtype) for size in sizes], weights
        )
    step = known[key].bind(weights)
    roles = [("gate", k) for k in range(gates)] + [("raw", 0)] + [("state", k) for k in range(len(widths))]
    # over an input without features, ONNX Runtime's standard nodes read memory that nothing was written to
    plain = input_size > 0 and not further and set(widths) | set(sizes[:gates]) == {hidden_size}
    match = recognise(step, roles) if plain and dtype in NODES_IN else None
    return Direction(cell, params, tuple(widths), reverse, step, match)
