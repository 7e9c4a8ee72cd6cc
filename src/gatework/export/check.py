"""An ONNX model in ONNX Runtime beside the module that it came from."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.capi import onnxruntime_pybind11_state as state
from torch import Tensor, nn

from gatework.export.exporting import ExportError
from gatework.export.model import dtype_of, further_inputs
from gatework.nn import Recurrent

Case = tuple[list[Tensor], list[Tensor]]  # what goes in, in the file's order, and what the module makes of it
_SHAPES = ((5, 3), (1, 1), (1, 4), (12, 1), (9, 5))  # T, B
_REFUSALS = (state.Fail, state.InvalidGraph, state.NotImplemented, state.RuntimeException)
_LONGER = (0, 1, 4)  # added to the free sizes of an example


def difference(data: bytes, cases: Iterable[Case]) -> float:
    """The largest difference between the results of a model in ONNX Runtime and those of its module.

    Relative to the largest result of its kind where that is above 1. Infinite where one of them is no number.

    Raises ExportError where ONNX Runtime does not take the model.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    worst = 0.0
    try:
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        for given, expected in cases:
            results = session.run(None, {name: value.numpy() for name, value in zip(names, given, strict=True)})
            for truth, result in zip(expected, results, strict=True):
                worst = max(worst, _distance(truth.numpy(), np.asarray(result)))
    except _REFUSALS as error:
        raise ExportError(f"ONNX Runtime does not run the model: {error}") from error
    return worst


def layer_cases(layer: Recurrent, states: bool, lengths: bool, extra: Sequence[str]) -> Iterator[Case]:
    """Random inputs of several shapes for a layer."""
    random, dtype = torch.Generator().manual_seed(0), dtype_of(layer)
    for T, B in _SHAPES:
        sequence = (B, T) if layer.batch_first else (T, B)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=random, dtype=dtype)

        def rand(*shape: int) -> Tensor:  # in 0..1, where the states of every cell may be, and masks and gaps too
            return torch.rand(*shape, generator=random, dtype=dtype)

        arguments: dict[str, Any] = {"input": draw(*sequence, layer.input_size)}
        given = [arguments["input"]]
        if lengths:
            arguments["lengths"] = torch.randint(0, T + 1, (B,), generator=random)
            given.append(arguments["lengths"])
        if states:
            rows = layer.num_layers * layer.num_directions
            hx = tuple(rand(rows, B, width) for width in layer.state_sizes)
            arguments["hx"] = hx[0] if len(hx) == 1 else hx
            given += hx
        if further := further_inputs(layer, extra):
            arguments["extra"] = {full: rand(*sequence, size) for full, (_, size) in further.items()}
            given += arguments["extra"].values()
        yield given, _flat(layer(**arguments))


def model_cases(model: nn.Module, example: Sequence[Tensor], free: Mapping[str, Mapping[int, str]]) -> Iterator[Case]:
    """The example of a model, and longer ones along its free axes, made of the example's own values."""
    random = torch.Generator().manual_seed(0)
    axes = [free.get(name, {}) for name in list(inspect.signature(model.forward).parameters)[: len(example)]]
    for longer in _LONGER:
        given = []
        for value, named in zip(example, axes, strict=True):
            shape = [size + longer * (axis in named) for axis, size in enumerate(value.shape)]
            place = torch.randint(0, max(1, value.numel()), shape, generator=random)
            given.append(value.flatten()[place] if longer and value.numel() else value)
        yield given, _flat(model(*given))


def _flat(results: Any) -> list[Tensor]:
    """Tensors of nested results, in order."""
    if isinstance(results, Tensor):
        return [results]
    return [tensor for result in results for tensor in _flat(result)]


def _distance(truth: np.ndarray[Any, Any], result: np.ndarray[Any, Any]) -> float:
    if truth.shape != result.shape or not np.isfinite(result).all() or not np.isfinite(truth).all():
        return float("inf")
    if truth.size == 0:
        return 0.0
    return float(np.abs(truth - result).max() / max(1.0, np.abs(truth).max()))
