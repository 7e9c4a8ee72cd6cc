"""States that go from one call of a network to the next: lists and tuples of tensors, rows of the batch second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


def detach(state: Any) -> Any:
    """A state of `Backbone` without its history, for truncated backpropagation through time."""
    return _each(state, Tensor.detach)


def select(state: Any, rows: Tensor) -> Any:
    """A state of `Backbone` for some rows of the batch, whole numbers [N], in their order; one may repeat."""
    return _each(state, lambda part: part.index_select(1, rows))


def _each(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(state, Tensor):
        return change(state)
    parts = [_each(part, change) for part in state]
    return parts if isinstance(state, list) else tuple(parts)
