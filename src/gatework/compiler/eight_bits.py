"""Weights of eight bits: a scale for each row, the row's largest number being 127 of it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gatework.compiler.call import scale_name

MOST = 127


def round_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix [rows, columns] as whole numbers in -127..127, int8, and the scale [rows] of each row.

    A row of zeros has the scale 0. The error of an entry is at most half its row's scale.
    """
    scale = weight.abs().amax(1) / MOST if weight.shape[1] else weight.new_zeros(weight.shape[0])
    whole = torch.where(scale[:, None] > 0, weight / scale[:, None], weight.new_zeros(())).round()
    return whole.to(torch.int8), scale


def has_eight_bits(params: Mapping[str, Tensor]) -> bool:
    """Whether parameters are weights of eight bits with their scales."""
    return "scale_ih" in params or any(p.dtype == torch.int8 for p in params.values())


def restored(params: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Parameters without scales: every weight of eight bits as the float32 matrix that it stands for."""
    scales = {name: params[scale_name(name)] for name, p in params.items() if p.dtype == torch.int8}
    whole = {name: params[name].to(scale.dtype) * scale[:, None] for name, scale in scales.items()}
    return {name: whole.get(name, p) for name, p in params.items() if not name.startswith("scale_")}
