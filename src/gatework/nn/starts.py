"""How the parameters of a recurrent layer start."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gatework.cells import Cell
from gatework.cells.declarations import Vector
from gatework.compiler.weights import buffer_names, views
from gatework.errors import InputError


@torch.no_grad()
def start(
    cell: Cell,
    params: Mapping[str, Tensor],
    hidden_size: int,
    input_size: int,
    forget_bias: float | None = None,
    chrono: float | None = None,
) -> None:
    """Fill the parameters of one layer and direction.

    Every one from U(-1/sqrt(H), 1/sqrt(H)), buffers with zeros; then vectors with a declared start; then what
    `Cell.initialise` says; then the gates' biases.

    Args:
        cell: the equations.
        params: by the names of `parameter_shapes`.
        hidden_size: units H.
        input_size: features I of this layer.
        forget_bias: see `Recurrent`.
        chrono: see `Recurrent`.

    Raises InputError where forget_bias or chrono do not apply.
    """
    bound, fixed = 1 / math.sqrt(hidden_size), buffer_names(cell)
    for name, parameter in params.items():
        if name in fixed:
            nn.init.zeros_(parameter)
        else:
            nn.init.uniform_(parameter, -bound, bound)
    for key, _, declared in cell.entries(Vector):
        if declared.start is not None:
            nn.init.constant_(params[key], declared.start)
    parts = views(cell, params, hidden_size, input_size)
    cell.initialise(parts, hidden_size, input_size)
    if forget_bias is not None or chrono is not None:
        _start_gates(cell, parts, forget_bias, chrono)


def _start_gates(cell: Cell, parts: Mapping[str, Tensor], forget_bias: float | None, chrono: float | None) -> None:
    forget = cell.forget_gate
    if forget is None:
        raise InputError(f"cell {cell.name} names no forget gate, so forget_bias and chrono do not apply.")
    if f"bias.{forget}" not in parts:
        raise InputError("forget_bias and chrono need bias=True.")
    if forget_bias is not None and chrono is not None:
        raise InputError("give forget_bias or chrono, not both: each sets the forget gate's bias.")
    starts: dict[str, Tensor | float] = {}
    if chrono is not None:
        if chrono <= 2:
            raise InputError(f"chrono is {chrono}; expected the longest time lag in steps, > 2.")
        starts[forget] = torch.empty_like(parts[f"bias.{forget}"]).uniform_(1, chrono - 1).log_()
        if cell.input_gate is not None:
            starts[cell.input_gate] = -starts[forget]
    elif forget_bias is not None:
        starts[forget] = forget_bias
    for gate, value in starts.items():
        parts[f"bias.{gate}"][...] = value
        if f"bias.U.{gate}" in parts:
            parts[f"bias.U.{gate}"][...] = 0.0
