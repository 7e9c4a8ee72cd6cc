"""One layer and direction of a cell over a batch of sequences, on the backend that fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from torch import Tensor

from gatework.cells.cell import Cell
from gatework.compiler.render import reference
from gatework.errors import InputError

Backend = Literal["auto", "reference", "cpp"]


def check_backend(backend: str) -> Backend:
    """The name of a backend, checked.  Raises InputError for any other."""
    if backend not in get_args(Backend):
        raise InputError(f"backend is {backend!r}; expected one of {', '.join(get_args(Backend))}.")
    return backend  # type: ignore[return-value]


def recur(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    *,
    batch_sizes: tuple[int, ...] | None = None,
    batch_first: bool = False,
    reverse: bool = False,
    backend: Backend = "auto",
) -> tuple[Tensor, tuple[Tensor, ...]]:
    if batch_sizes is not None:
        return reference.run(cell, x, batch_sizes, states, params, reverse)
    x = x.transpose(0, 1) if batch_first else x
    T, B = x.shape[:2]
    rows, finals = reference.run(cell, x.reshape(T * B, x.shape[-1]), (B,) * T, states, params, reverse)
    y = rows.view(T, B, rows.shape[-1])
    return (y.transpose(0, 1).contiguous() if batch_first else y), finals
