"""Any nesting of dicts, lists, tuples, plain values and tensors as one JSON value and a flat table of tensors.

A trainer's whole state (optimizer, schedule, generators, position) fits as it is, and comes back equal: integer keys,
tuples, infinities and NaN included, which JSON alone would lose.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from gatework.errors import ArtefactError


def pack(state: Any) -> tuple[Any, dict[str, Tensor]]:
    """`state` as a JSON value and the tensors it holds, by number.

    Raises:
        TypeError: it holds something else than dict, list, tuple, int, float, bool, str, None and Tensor.
    """
    tensors: dict[str, Tensor] = {}

    def walk(value: Any, place: str) -> Any:
        if isinstance(value, Tensor):
            tensors[str(len(tensors))] = value
            return {"tensor": str(len(tensors) - 1)}
        if isinstance(value, dict):
            return {
                "dict": [[walk(key, f"{place} key"), walk(entry, f"{place}[{key!r}]")] for key, entry in value.items()]
            }
        if isinstance(value, tuple):
            return {"tuple": [walk(entry, f"{place}[{i}]") for i, entry in enumerate(value)]}
        if isinstance(value, list):
            return [walk(entry, f"{place}[{i}]") for i, entry in enumerate(value)]
        if type(value) is float and not math.isfinite(value):
            return {"float": str(value)}
        if value is None or type(value) in (bool, int, float, str):
            return value
        raise TypeError(
            f"{place} is a {type(value).__name__}; a checkpoint holds dict, list, tuple, int, float, bool, "
            "str, None and tensors"
        )

    return walk(state, "state"), tensors


def unpack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """The state that `pack` took apart.

    Raises:
        ArtefactError: `value` is not of `pack`'s making, or names a tensor that is not there.
    """
    if isinstance(value, list):
        return [unpack(entry, tensors) for entry in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (kind, content), *_ = value.items()
        if kind == "tensor" and isinstance(content, str) and content in tensors:
            return tensors[content]
        if kind == "float" and content in ("inf", "-inf", "nan"):
            return float(content)
        if kind == "tuple" and isinstance(content, list):
            return tuple(unpack(entry, tensors) for entry in content)
        if kind == "dict" and isinstance(content, list) and all(isinstance(p, list) and len(p) == 2 for p in content):
            return {unpack(key, tensors): unpack(entry, tensors) for key, entry in content}
    raise ArtefactError(
        f"the checkpoint holds an entry {str(value)[:80]!r} that Gatework does not write. It is damaged."
    )
