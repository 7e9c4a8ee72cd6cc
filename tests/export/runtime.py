"""A layer's ONNX file in ONNX Runtime beside the layer, on inputs of the test's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gatework.cells.declarations import Extra
from gatework.export import Exported, to_onnx
from gatework.nn import Recurrent
from gatework.say import quiet

onnxruntime = pytest.importorskip("onnxruntime")
TOLERANCE = 1e-5  # what the project promises of ONNX in single precision


def exported(layer: Recurrent, **options: Any) -> Exported:
    """The export without its own comparison, which is what these tests are about."""
    with quiet():
        return to_onnx(layer, tolerance=None, **options)


def session(export: Exported) -> Any:
    return onnxruntime.InferenceSession(export.model.SerializeToString(), providers=["CPUExecutionProvider"])


def largest_difference(
    layer: Recurrent,
    running: Any,
    T: int,
    B: int,
    lengths: list[int] | None = None,
    states: bool = False,
    extra: dict[str, Tensor] | None = None,
) -> float:
    """Between the file's results and the layer's in evaluation; relative to the largest of its kind if above 1."""
    dtype = next((p.dtype for p in layer.parameters()), torch.float32)
    x = torch.randn(*((B, T) if layer.batch_first else (T, B)), layer.input_size, dtype=dtype)
    feeds: dict[str, Any] = {"input": x.numpy()}
    arguments: dict[str, Any] = {"input": x, "extra": extra}
    if lengths is not None:
        feeds["lengths"], arguments["lengths"] = np.array(lengths, dtype=np.int64), lengths
    if states:
        rows = layer.num_layers * layer.num_directions
        hx = tuple(torch.rand(rows, B, width, dtype=dtype) for width in layer.state_sizes)
        feeds |= {f"{name}_0": value.numpy() for name, value in zip(layer.cell.states, hx, strict=True)}
        arguments["hx"] = hx[0] if len(hx) == 1 else hx
    feeds |= {name: value.numpy() for name, value in (extra or {}).items()}
    with torch.no_grad():
        y, finals = layer(**arguments)
    expected = [y, *((finals,) if isinstance(finals, Tensor) else finals)]
    results = running.run(None, feeds)
    assert [r.shape for r in results] == [tuple(e.shape) for e in expected]
    assert all(np.isfinite(r).all() for r in results)
    pairs = [(e.numpy(), r) for e, r in zip(expected, results, strict=True)]
    return max(float(np.abs(e - r).max(initial=0.0) / np.abs(e).max(initial=1.0)) for e, r in pairs)


def further(layer: Recurrent, *shape: int) -> dict[str, Tensor]:
    """Inputs of each step that a cell cannot do without; gaps, masks and flags are never negative."""
    entries = [(name, d) for _, name, d in layer.cell.entries(Extra) if d.default is None]
    dtype = next((p.dtype for p in layer.parameters()), torch.float32)
    sizes = {name: layer.cell.measure(d.size, layer.hidden_size, layer.input_size) for name, d in entries}
    return {name: torch.rand(*shape, size, dtype=dtype) for name, size in sizes.items()}


def kinds(export: Exported) -> list[str]:
    """The recurrent nodes of a file, in order."""
    return [node.op_type for node in export.model.graph.node if node.op_type in ("LSTM", "GRU", "RNN", "Scan")]
