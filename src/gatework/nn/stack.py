"""All layers and directions of a recurrent layer, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gatework.cells import Cell
from gatework.compiler.both import recur_both
from gatework.compiler.launch import Backend, recur
from gatework.compiler.ragged import Ragged
from gatework.compiler.wavefront import run_layers
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
    outside, per_layer = module.training and module.regularisers.outside, [s.unbind(0) for s in states]
    plain = not (extra or seeds or (module.dropout and module.training)) and module.save == "gates"
    if plain and D == 1 < module.num_layers:
        places = range(module.num_layers)
        first, params = [[s[k] for s in per_layer] for k in places], [module.parameters_of(k) for k in places]
        found = run_layers(
            module.running_cell, x, first, params, ragged=ragged, batch_first=batch_first, backend=module.backend
        )
        if found is not None:
            return found[0], [torch.stack(parts) for parts in zip(*found[1], strict=True)]
    for layer in range(module.num_layers):
        places = range(layer * D, layer * D + D)
        x = module.regularisers.drop_inputs(x, seeds[places[0]], ragged, batch_first) if outside else x
        params = [module.parameters_of(k) for k in places]
        if outside:
            params = [module.regularisers.drop_weights(p, seeds[k]) for p, k in zip(params, places, strict=True)]
        first = [[s[k] for s in per_layer] for k in places]
        own_seeds = [seeds[k] if seeds else None for k in places]
        results = _layer(module, x, first, params, ragged, batch_first, extra, own_seeds)
        finals += [final for _, final in results]
        x = results[0][0] if D == 1 else torch.cat([y for y, _ in results], -1)
        if module.dropout and module.training and layer < module.num_layers - 1:
            x = nn.functional.dropout(x, module.dropout)
    if len(finals) == 1:
        return x, [f.unsqueeze(0) for f in finals[0]]
    return x, [torch.stack(parts) for parts in zip(*finals, strict=True)]


def _layer(
    module: Recurrent,
    x: Tensor,
    states: Sequence[Sequence[Tensor]],
    params: Sequence[Mapping[str, Tensor]],
    ragged: Ragged | None,
    batch_first: bool,
    extra: Mapping[str, Tensor],
    seeds: Sequence[Tensor | None],
) -> list[Result]:
    """The directions of one layer, each with its own states, parameters and seed."""
    cell, backend = module.running_cell, module.backend
    if len(params) == 2 and module.save == "gates":
        return recur_both(
            cell, x, states, params, ragged=ragged, batch_first=batch_first, backend=backend, extra=extra, seeds=seeds
        )
    return [
        run_saving(
            partial(_run, cell, batch_first, k == 1, backend),
            module.save,
            x,
            states[k],
            params[k],
            ragged,
            batch_first,
            k == 1,
            extra,
            seeds[k],
        )
        for k in range(len(params))
    ]


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
