"""A `Recurrent` layer as ONNX nodes: its stack, directions, layouts and states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from gatework.cells.declarations import Extra
from gatework.export.direction import Direction, Sequences, Traces, direction
from gatework.export.node import write_standard
from gatework.export.scan import write_scan
from gatework.export.writer import Writer
from gatework.nn import Recurrent


@dataclass(frozen=True)
class Given:
    """Names of a layer's inputs in the graph.

    Attributes:
        x: [T, B, I], or [B, T, I] for a layer with batch_first.
        states: initial states, each [L * D, B, width]; None for zeros.
        lengths: [B] whole numbers; None where every sequence is T long.
        extra: further inputs of each step by "declaration.name", [T, B, size] or [B, T, size].
    """

    x: str
    states: Sequence[str] | None
    lengths: str | None
    extra: Mapping[str, str]


@dataclass(frozen=True)
class Result:
    """Names of a layer's outputs in the graph.

    Attributes:
        y: outputs in the layout of x.
        finals: final states, each [L * D, B, width].
        nodes: how each layer is written, a line each.
    """

    y: str
    finals: tuple[str, ...]
    nodes: tuple[str, ...]


def directions_of(layer: Recurrent, dtype: torch.dtype) -> list[list[Direction]]:
    """Every layer's directions, traced.  Raises Unsupported for a step that cannot be written, with the reason."""
    D, H = layer.num_directions, layer.hidden_size
    known: Traces = {}
    every = [
        direction(layer.running_cell, layer.parameters_of(k), H, layer.width_of(k), k % D == 1, dtype, known)
        for k in range(layer.num_layers * D)
    ]
    return [every[k : k + D] for k in range(0, len(every), D)]


def write_layer(writer: Writer, layer: Recurrent, given: Given, dtype: torch.dtype) -> Result:
    """Write a layer into a graph.

    Raises Unsupported for a step with an operation that has no form in ONNX, by name.
    """
    swap = layer.batch_first
    x = writer.node("Transpose", given.x, perm=[1, 0, 2], to="time_first") if swap else given.x
    clock = _Clock(writer, x)
    extra = {
        name: writer.node("Transpose", value, perm=[1, 0, 2]) if swap else value for name, value in given.extra.items()
    }
    extra |= _defaults(writer, layer, clock, extra, dtype)
    states = _learned(writer, layer, clock) if given.states is None and layer.learned_state else given.states
    finals: list[list[str]] = [[] for _ in layer.cell.states]
    nodes = []
    for row, directions in enumerate(directions_of(layer, dtype)):
        read = Sequences(x, extra, given.lengths, clock.positions)
        if (match := directions[0].match) is not None:  # then all of them match: they share the cell
            x, last = _standard(writer, layer, row, directions, read, states)
        else:
            x, last = _scans(writer, layer, row, directions, read, states, clock)
        nodes.append(f"layer {row}: {match.standard.kind if match else 'Scan'}")
        for state, value in zip(finals, last, strict=True):
            state.append(value)
    y = writer.node("Transpose", x, perm=[1, 0, 2]) if swap else x
    joined = tuple(parts[0] if len(parts) == 1 else writer.node("Concat", *parts, axis=0) for parts in finals)
    return Result(y, joined, tuple(nodes))


def _standard(
    writer: Writer,
    layer: Recurrent,
    row: int,
    directions: Sequence[Direction],
    read: Sequences,
    states: Sequence[str] | None,
) -> tuple[str, list[str]]:
    D = layer.num_directions
    if states is not None and layer.num_layers > 1:
        limits = writer.ints(row * D), writer.ints(row * D + D), writer.ints(0)
        states = [writer.node("Slice", state, *limits) for state in states]
    return write_standard(writer, directions, read, states)


def _scans(
    writer: Writer,
    layer: Recurrent,
    row: int,
    directions: Sequence[Direction],
    read: Sequences,
    states: Sequence[str] | None,
    clock: _Clock,
) -> tuple[str, list[str]]:
    outputs: list[str] = []
    finals: list[list[str]] = []
    for k, one in enumerate(directions, row * layer.num_directions):
        if states is None:
            initial = [clock.zeros(width, one.dtype) for width in one.widths]
        else:
            index = writer.constant(torch.tensor(k))
            initial = [writer.node("Gather", state, index, axis=0) for state in states]
        y, last = write_scan(writer, one, read, initial)
        outputs.append(y)
        finals.append([writer.node("Unsqueeze", value, writer.ints(0)) for value in last])
    if len(outputs) == 1:
        return outputs[0], finals[0]
    joined = [writer.node("Concat", *parts, axis=0) for parts in zip(*finals, strict=True)]
    return writer.node("Concat", *outputs, axis=-1, to="joined"), joined


class _Clock:
    """Values that depend on the sizes of x [T, B, I] alone, each written once and only where it is used."""

    def __init__(self, writer: Writer, x: str) -> None:
        self.writer, self.x = writer, x
        self._known: dict[object, str] = {}

    def size(self, axis: int) -> str:
        """T (axis 0) or B (axis 1), [1]."""
        if axis not in self._known:
            self._known[axis] = self.writer.node("Shape", self.x, start=axis, end=axis + 1, to=("time", "batch")[axis])
        return self._known[axis]

    def positions(self) -> str:
        """0, 1, 2, ... as whole numbers [T]."""
        if "positions" not in self._known:
            zero, one = (self.writer.constant(torch.tensor(k)) for k in (0, 1))
            end = self.writer.node("Squeeze", self.size(0))
            self._known["positions"] = self.writer.node("Range", zero, end, one, to="positions")
        return self._known["positions"]

    def zeros(self, width: int, dtype: torch.dtype) -> str:
        """An initial state [B, width]."""
        return self.full(0.0, width, dtype, False)

    def full(self, value: float, width: int, dtype: torch.dtype, over_time: bool) -> str:
        """One number as [B, width] or [T, B, width]."""
        key = (value, width, over_time)
        if key not in self._known:
            sizes = [*([self.size(0)] if over_time else []), self.size(1), self.writer.ints(width)]
            shape = self.writer.node("Concat", *sizes, axis=0, to="shape")
            self._known[key] = self.writer.node("Expand", self.writer.number(value, dtype), shape, to="full")
        return self._known[key]


def _learned(writer: Writer, layer: Recurrent, clock: _Clock) -> list[str]:
    """The learned initial states, each [L * D, B, width]."""
    found = []
    for name, rows in zip(layer.cell.states, layer.initial_states(), strict=True):
        values = torch.stack(rows).unsqueeze(1)
        sizes = (writer.ints(values.shape[0]), clock.size(1), writer.ints(values.shape[2]))
        shape = writer.node("Concat", *sizes, axis=0, to="shape")
        found.append(writer.node("Expand", writer.constant(values, f"{name}_start"), shape, to=f"{name}_start"))
    return found


def _defaults(
    writer: Writer, layer: Recurrent, clock: _Clock, extra: Mapping[str, str], dtype: torch.dtype
) -> dict[str, str]:
    """The inputs of each step that are not given: a number, or the position in the sequence."""
    found = {}
    for key, name, declared in layer.cell.entries(Extra):
        if f"{key}.{name}" in extra:
            continue
        size = layer.cell.measure(declared.size, layer.hidden_size, layer.input_size)
        if declared.default == "position":
            steps = writer.node("Unsqueeze", writer.cast(clock.positions(), dtype), writer.ints(1, 2))
            shape = writer.node("Concat", clock.size(0), clock.size(1), writer.ints(size), axis=0)
            found[f"{key}.{name}"] = writer.node("Expand", steps, shape, to=name)
        else:
            assert isinstance(declared.default, int | float)
            found[f"{key}.{name}"] = clock.full(float(declared.default), size, dtype, True)
    return found
