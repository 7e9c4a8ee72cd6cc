"""Products of the input alone, such as `M.a @ x.raw`: they leave the time loop by joining the input products."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

# Of each such product: its weight's and bias's names, its position in them, and how many matrices they hold.
Hoisted = tuple[tuple[str, str, int, int], ...]


def _block(tensor: Tensor, position: int, count: int) -> Tensor:
    rows = tensor.shape[0] // count
    return tensor[position * rows : (position + 1) * rows]


def with_hoisted(hoisted: Hoisted, own: bool, params: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The parameters with the matrices of hoisted products below weight_ih, and their biases below bias_ih.

    `own`: the cell has gates, so weight_ih is there for them already.
    """
    if not hoisted:
        return params
    blocks = [_block(params[weight], position, count) for weight, _, position, count in hoisted]
    weights = [params["weight_ih"]] if own else []
    found = {**params, "weight_ih": torch.cat([*weights, *blocks])}
    if (own and "bias_ih" in params) or any(bias in params for _, bias, _, _ in hoisted):
        biases = [params.get("bias_ih", w.new_zeros(w.shape[0])) for w in weights]
        for (_, bias, position, count), block in zip(hoisted, blocks, strict=True):
            given = _block(params[bias], position, count) if bias in params else block.new_zeros(block.shape[0])
            biases.append(given)
        found["bias_ih"] = torch.cat(biases)
    return found


def without_hoisted(
    hoisted: Hoisted,
    own: bool,
    params: Mapping[str, Tensor],
    merged: Mapping[str, Tensor],
    gradients: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Gradients of the parameters from those of `with_hoisted`'s result."""
    given = dict(zip(merged, gradients, strict=True))
    if given["weight_ih"] is None:
        return [None] * len(params)
    found = {name: given[name] for name in params}
    for name, column in (("weight_ih", 0), ("bias_ih", 1)):
        gradient = given.get(name)
        if gradient is None:
            continue
        begin = params["weight_ih"].shape[0] if own else 0
        if name in params:  # without gates of its own a cell may call a hoisted matrix so
            found[name] = gradient[:begin] if own else torch.zeros_like(params[name])
        for entry in hoisted:
            rows = params[entry[0]].shape[0] // entry[3]
            if (target := found.get(str(entry[column]))) is not None:
                _block(target, entry[2], entry[3]).add_(gradient[begin : begin + rows])
            begin += rows
    return [found[name] for name in params]
