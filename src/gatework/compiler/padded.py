"""The reference backend on batches as layers are given them: padded, with lengths, or packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from gatework.cells.cell import Cell
from gatework.compiler.ragged import Ragged
from gatework.compiler.render import reference


def run(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
    ragged: Ragged | None,
    batch_first: bool,
    reverse: bool,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a cell in a Python loop; arguments and results as for `launch.recur`."""
    more: dict[str, Any] = {"extra": extra, "seed": seed} if extra or seed is not None else {}
    if ragged is not None and ragged.packed:
        return reference.run(cell, x, ragged.batch_sizes, states, params, reverse, **more)
    if batch_first:
        x, extra = x.transpose(0, 1), {name: e.transpose(0, 1) for name, e in extra.items()}
    T, B = x.shape[:2]
    if ragged is None:
        if more:
            more["extra"] = {name: e.reshape(T * B, e.shape[-1]) for name, e in extra.items()}
        rows, finals = reference.run(cell, x.reshape(T * B, x.shape[-1]), (B,) * T, states, params, reverse, **more)
        y = rows.view(T, B, rows.shape[-1])
    else:
        if more:
            more |= {"extra": {name: ragged.pack(e) for name, e in extra.items()}, "order": ragged.order}
        ordered = [ragged.sort(s) for s in states]
        rows, finals = reference.run(cell, ragged.pack(x), ragged.batch_sizes, ordered, params, reverse, **more)
        y, finals = ragged.pad(rows, T, B), tuple(ragged.unsort(f) for f in finals)
    return (y.transpose(0, 1).contiguous() if batch_first else y), finals
