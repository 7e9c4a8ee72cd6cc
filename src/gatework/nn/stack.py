"""All layers and directions of a recurrent layer, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gatework.cells import Cell
from gatework.compiler.launch import Backend, recur
from gatework.compiler.ragged import Ragged
from gatework.nn.saving import Result, run_saving

if TYPE_CHECKING:
    from gatework.nn.recurrent import Recurrent


def run_stack(
    module: Recurrent,
    x: Tensor,
    states: Sequence[Tensor],
    ragged: Ragged | None,
    batch_first: bool,
    extra: Mapping[str, Tensor],
    seeds: Sequence[Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """Run every layer over whole sequences.

    Args:
        module: the layers.
        x: inputs [T, B, I], [B, T, I] or packed [N, I].
        states: initial states, each [L * D, B, width].
        ragged: lengths, or None.
        batch_first: x is [B, T, I].
        extra: further inputs of each step, laid out like x.
        seeds: int64 [2] for each layer and direction; empty where nothing is drawn.

    Returns:
        outputs of the last layer, D * width of the first state wide, and the final states, each [L * D, B, width].
    """
    D, finals = module.num_directions, []
    per_layer, cell, regularisers = [s.unbind(0) for s in states], module.running_cell, module.regularisers
    outside = module.training and regularisers.outside
    for layer in range(module.num_layers):
        outputs = []
        x = regularisers.drop_inputs(x, seeds[layer * D], ragged, batch_first) if outside else x
        for direction in range(D):
            k = layer * D + direction
            params, seed = module.parameters_of(k), seeds[k] if seeds else None
            if outside:
                params = regularisers.drop_weights(params, seeds[k])
            run = partial(_run, cell, batch_first, direction == 1, module.backend)
            mine, reverse = [s[k] for s in per_layer], direction == 1
            y, final = run_saving(run, module.save, x, mine, params, ragged, batch_first, reverse, extra, seed)
            outputs.append(y)
            finals.append(final)
        x = outputs[0] if D == 1 else torch.cat(outputs, -1)
        if module.dropout and module.training and layer < module.num_layers - 1:
            x = nn.functional.dropout(x, module.dropout)
    if len(finals) == 1:
        return x, [f.unsqueeze(0) for f in finals[0]]
    return x, [torch.stack(parts) for parts in zip(*finals, strict=True)]


def _run(
    cell: Cell,
    batch_first: bool,
    reverse: bool,
    backend: Backend,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    ragged: Ragged | None,
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
) -> Result:
    return recur(
        cell,
        x,
        states,
        params,
        ragged=ragged,
        batch_first=batch_first,
        reverse=reverse,
        backend=backend,
        extra=extra,
        seed=seed,
    )
