"""An ONNX model in ONNX Runtime beside the layer that it came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from gatework.export.model import dtype_of, further_inputs
from gatework.nn import Recurrent

_SHAPES = ((5, 3), (1, 1), (1, 4), (12, 1), (9, 5))  # T, B


def difference(layer: Recurrent, data: bytes, states: bool, lengths: bool) -> float:
    """The largest difference between the results of a model in ONNX Runtime and the layer's, over several shapes.

    Relative to the largest result of its kind where that is above 1. Infinite where one gives what is no number.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    random = torch.Generator().manual_seed(0)
    worst = 0.0
    for T, B in _SHAPES:
        feeds, arguments = _arguments(layer, T, B, states, lengths, random)
        y, finals = layer(**arguments)
        expected = [y, *((finals,) if isinstance(finals, Tensor) else finals)]
        for truth, result in zip(expected, session.run(None, feeds), strict=True):
            worst = max(worst, _distance(truth.numpy(), np.asarray(result)))
    return worst


def _arguments(
    layer: Recurrent, T: int, B: int, states: bool, lengths: bool, random: torch.Generator
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Random inputs of one shape, as ONNX Runtime and as the layer take them."""
    dtype = dtype_of(layer)
    sequence = (B, T) if layer.batch_first else (T, B)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random, dtype=dtype)

    arguments: dict[str, Any] = {"input": draw(*sequence, layer.input_size)}
    feeds = {"input": arguments["input"].numpy()}
    if lengths:
        arguments["lengths"] = torch.randint(0, T + 1, (B,), generator=random)
        feeds["lengths"] = arguments["lengths"].numpy()
    if states:
        rows = layer.num_layers * layer.num_directions
        hx = tuple(draw(rows, B, width) for width in layer.state_sizes)
        arguments["hx"] = hx[0] if len(hx) == 1 else hx
        feeds |= {f"{name}_0": value.numpy() for name, value in zip(layer.cell.states, hx, strict=True)}
    further = further_inputs(layer)
    if further:
        # gaps, masks and flags: never negative
        arguments["extra"] = {full: draw(*sequence, size).abs() for full, (_, size) in further.items()}
        feeds |= {name: arguments["extra"][full].numpy() for full, (name, _) in further.items()}
    return feeds, arguments


def _distance(truth: np.ndarray[Any, Any], result: np.ndarray[Any, Any]) -> float:
    if truth.shape != result.shape or not np.isfinite(result).all() or not np.isfinite(truth).all():
        return float("inf")
    if truth.size == 0:
        return 0.0
    return float(np.abs(truth - result).max() / max(1.0, np.abs(truth).max()))
