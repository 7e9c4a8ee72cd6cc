"""The reference backend: `step` in a Python loop. Slow, obviously right; any dtype, any device, any derivative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from gatework.cells.cell import Cell
from gatework.compiler.weights import declared_values


def run(
    cell: Cell,
    x: Tensor,
    batch_sizes: Sequence[int],
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    reverse: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a cell over packed sequences.

    Args:
        cell: the equations.
        x: inputs [N, I], all rows of time 0 first; rows of a time step in order of falling length.
        batch_sizes: number of rows at each time step, not rising; sums to N.
        states: initial states, each [B, H]; rows beyond batch_sizes[0] belong to empty sequences.
        params: tensors by the names of `parameter_shapes`.
        reverse: run from each sequence's last step to its first.

    Returns:
        outputs [N, H] and the final states, each [B, H].
    """
    products = torch.split(F.linear(x, params["weight_ih"], params.get("bias_ih")), list(batch_sizes))
    declared = declared_values(cell, params)
    H = states[0].shape[1]
    current, done = list(states), []
    outputs: list[Tensor] = []
    for xt in reversed(products) if reverse else products:
        rows = xt.shape[0]
        if reverse:
            if rows > (have := current[0].shape[0] if outputs else 0):
                entering = [s[have:rows] for s in states]
                current = [torch.cat([c, e]) for c, e in zip(current, entering, strict=True)] if have else entering
        elif rows < current[0].shape[0]:
            done.append([c[rows:] for c in current])
            current = [c[:rows] for c in current]
        gates = dict(zip(cell.gate_names, torch.split(xt, H, dim=1), strict=True))
        current = list(cell.apply(gates, dict(zip(cell.states, current, strict=True)), declared))
        outputs.append(current[0])
    if reverse:
        rows = current[0].shape[0] if outputs else 0
        done = [[s[rows:] for s in states]] if rows < states[0].shape[0] and outputs else []
    finals = tuple(torch.cat([c, *parts]) if parts else c for c, *parts in zip(current, *reversed(done), strict=True))
    if not outputs:
        return x.new_zeros((0, H)), finals
    return torch.cat(outputs[::-1] if reverse else outputs), finals
