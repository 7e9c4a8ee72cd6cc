"""The reference backend: `step` in a Python loop. Slow, obviously right; any dtype, any device, any derivative."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gatework.cells.cell import Cell
from gatework.cells.declarations import Extra, Noise
from gatework.cells.generator import SEQUENCE, uniform
from gatework.compiler.weights import declared_values, gate_widths, hidden_size_of
from gatework.errors import InputError

# a step's position, its input products and the input itself, its further inputs by declaration and name
StepInputs = tuple[int, dict[str, Tensor], dict[str, dict[str, Tensor]]]


def run(
    cell: Cell,
    x: Tensor,
    batch_sizes: Sequence[int],
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    reverse: bool = False,
    *,
    extra: Mapping[str, Tensor] | None = None,
    seed: Tensor | None = None,
    order: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a cell over packed sequences.

    Args:
        cell: the equations.
        x: inputs [N, I], all rows of time 0 first; rows of a time step in order of falling length.
        batch_sizes: number of rows at each time step, not rising; sums to N.
        states: initial states, each [B, its width]; rows beyond batch_sizes[0] belong to empty sequences.
        params: tensors by the names of `parameter_shapes`, structured matrices made dense.
        reverse: run from each sequence's last step to its first.
        extra: further inputs of each step, [N, size], by declaration and name: "e.dt".
        seed: int64 [2], for a cell with noise: the seed, and the position of the first step.
        order: [B] the row of the batch, as noise counts them, behind each row of a state; None: the row itself.

    Returns:
        outputs [N, width of the first state] and the final states.

    Raises InputError where an extra input or the seed is missing.
    """
    hidden_size, input_size = hidden_size_of(cell, states), x.shape[-1]
    inputs = _inputs(cell, x, list(batch_sizes), params, gate_widths(cell, hidden_size, input_size), extra or {})
    fixed = declared_values(cell, params, hidden_size, input_size)
    noises = Noises(cell, hidden_size, input_size, seed, order, states[0])
    return loop(cell, inputs, fixed, noises, states, reverse)


def loop(
    cell: Cell,
    inputs: Iterable[StepInputs],
    fixed: Mapping[str, Mapping[str, Any]],
    noises: Noises,
    states: Sequence[Tensor],
    reverse: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The loop over time.

    Args:
        cell: the equations.
        inputs: of each step its position, input products (with "raw", the input itself) and `per_step` inputs.
        fixed: what `step` takes that is the same at every step.
        noises: its random numbers.
        states: initial states; where a step has fewer rows than they have, the last sequences have ended.
        reverse: run from each sequence's last step to its first.

    Returns:
        outputs of all steps in the order of `inputs`, and the final states.
    """
    current, done = list(states), []
    outputs: list[Tensor] = []
    for t, gates, given in reversed(list(inputs)) if reverse else inputs:
        rows = gates["raw"].shape[0]
        if reverse:
            if rows > (have := current[0].shape[0] if outputs else 0):
                entering = [s[have:rows] for s in states]
                current = [torch.cat([c, e]) for c, e in zip(current, entering, strict=True)] if have else entering
        elif rows < current[0].shape[0]:
            done.append([c[rows:] for c in current])
            current = [c[:rows] for c in current]
        declared = {**fixed, **given, **noises.at(t, rows)}
        current = list(cell.apply(gates, dict(zip(cell.states, current, strict=True)), declared))
        outputs.append(current[0])
    if reverse:
        rows = current[0].shape[0] if outputs else 0
        done = [[s[rows:] for s in states]] if rows < states[0].shape[0] and outputs else []
    finals = tuple(torch.cat([c, *parts]) if parts else c for c, *parts in zip(current, *reversed(done), strict=True))
    if not outputs:
        return states[0].new_zeros((0, states[0].shape[1])), finals
    return torch.cat(outputs[::-1] if reverse else outputs), finals


def _inputs(
    cell: Cell,
    x: Tensor,
    batch_sizes: list[int],
    params: Mapping[str, Tensor],
    widths: list[int],
    extra: Mapping[str, Tensor],
) -> Iterator[StepInputs]:
    """Each step's position, its input products with the raw input, and its further inputs."""
    if widths:
        products = torch.split(F.linear(x, params["weight_ih"], params.get("bias_ih")), batch_sizes)
    else:
        products = torch.split(x.new_empty((x.shape[0], 0)), batch_sizes)
    entries = [(key, name) for key, name, _ in cell.entries(Extra)]
    for key, name in entries:
        if f"{key}.{name}" not in extra:
            raise InputError(f"cell {cell.name} needs its input {name!r} at each step; give extra={{{name!r}: ...}}.")
    further = [torch.split(extra[f"{key}.{name}"], batch_sizes) for key, name in entries]
    for t, (raw, product) in enumerate(zip(torch.split(x, batch_sizes), products, strict=True)):
        gates = dict(zip(cell.gate_names, torch.split(product, widths, dim=1), strict=True)) if widths else {}
        given: dict[str, dict[str, Tensor]] = {}
        for (key, name), values in zip(entries, further, strict=True):
            given.setdefault(key, {})[name] = values[t]
        yield t, gates | {"raw": raw}, given


class Noises:
    """The random numbers of every step of a call; arguments as for `run`, `like` being a state."""

    def __init__(
        self,
        cell: Cell,
        hidden_size: int,
        input_size: int,
        seed: Tensor | None,
        order: Tensor | None,
        like: Tensor,
    ) -> None:
        self.entries = [
            (key, name, cell.measure(declared.size, hidden_size, input_size), declared.per)
            for key, name, declared in cell.entries(Noise)
        ]
        if self.entries and seed is None:
            raise InputError(f"cell {cell.name} draws random numbers; give a seed, an int64 tensor [2].")
        self.seed, self.dtype, self.device = seed, like.dtype, like.device
        self.order = torch.arange(like.shape[0], device=like.device) if order is None else order.to(like.device)

    def at(self, t: int, rows: int) -> dict[str, dict[str, Tensor]]:
        """The numbers of one step, [rows, size], by declaration and name."""
        found: dict[str, dict[str, Tensor]] = {}
        for stream, (key, name, size, per) in enumerate(self.entries):
            assert self.seed is not None
            seed = self.seed.to(self.device)
            when = SEQUENCE if per == "sequence" else seed[1] + t
            numbers = uniform(seed[0], stream, when, self.order[:rows], size, self.dtype)
            found.setdefault(key, {})[name] = numbers
        return found
