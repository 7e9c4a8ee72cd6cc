"""`to_onnx`: a recurrent layer as an ONNX file, compared with the layer through ONNX Runtime before it is written."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from gatework.errors import GateworkError, InputError
from gatework.nn import Recurrent
from gatework.run import durable
from gatework.say import say

if TYPE_CHECKING:
    import onnx

_LARGEST = 2**31 - 1  # bytes that one protobuf message may have


class ExportError(GateworkError):
    """An export that does not compute what its model computes; nothing was written."""


@dataclass(frozen=True)
class Exported:
    """What `to_onnx` made.

    Attributes:
        model: the ONNX model.
        path: where it was written, or None.
        inputs, outputs: their names, in order.
        nodes: how each layer is written, a line each.
        difference: the largest difference between ONNX Runtime's results and the layer's, relative to the largest
            result where that is above 1; None where nothing was compared.
    """

    model: onnx.ModelProto
    path: Path | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...]
    difference: float | None


def to_onnx(
    module: Recurrent,
    path: str | Path | None = None,
    *,
    states: bool = False,
    lengths: bool = False,
    tolerance: float | None = 1e-5,
) -> Exported:
    """Write a recurrent layer as an ONNX file that behaves as the layer does in evaluation.

    A cell whose equations are those of ONNX's LSTM, GRU or RNN becomes that node; any other becomes a Scan with its
    step as the body. Batch and time are free. The file is compared with the layer, on random inputs of several shapes,
    before it is written.

    Inputs of the file: `input`, laid out as the layer takes it; then `lengths` [B] (int64), initial states `h_0`, ...
    [L * D, B, width], and what the cell takes at each step, under its own name. Outputs: `output`, then final states
    `h_n`, ...

    Args:
        module: a layer of `gatework.nn`, float32 or float64.
        path: the file to write, or None to only make the model.
        states: take initial states as inputs; otherwise they are zeros.
        lengths: take the lengths of the sequences as an input; otherwise all are T long.
        tolerance: largest difference that is accepted (see `Exported.difference`); None leaves the comparison out.

    Raises:
        InputError: a module that is no recurrent layer, or packages that are missing.
        Unsupported: a step with an operation that ONNX has no form for, by name.
        ExportError: the file would differ from the layer by more than the tolerance; it is not written.
        StorageError: the file may not be written; what was there before is untouched.
    """
    _needs("onnx", *(["onnxruntime"] if tolerance is not None else []))
    if not isinstance(module, Recurrent):
        raise InputError(
            f"to_onnx takes a recurrent layer (gatework.nn.LSTM, GRU, RNN or Recurrent), not {type(module).__name__}; "
            "export the layer that is inside it."
        )
    from gatework.export.check import difference
    from gatework.export.model import build

    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            model, nodes = build(module, states, lengths)
            data = model.SerializeToString()
            if len(data) > _LARGEST:
                raise InputError(f"the model has {len(data) / 1e9:.1f} GB; an ONNX file holds at most 2 GB.")
            found = None if tolerance is None else difference(module, data, states, lengths)
    finally:
        module.train(was_training)
    target = None if path is None else Path(path).resolve()
    name = "the ONNX model" if target is None else target.name
    if found is not None and tolerance is not None and not found <= tolerance:
        raise ExportError(
            f"{name} would differ from the layer by {found:.1e} in ONNX Runtime, more than {tolerance:.0e}; it was not "
            "written. Export in float64 (layer.double()), or accept the difference: tolerance=..."
        )
    if target is not None:
        durable.write(target, data)
    compared = "not compared" if found is None else f"ONNX Runtime differs from the layer by at most {found:.1e}"
    say(f"{name}: {', '.join(nodes)}; {compared}")
    graph = model.graph
    inputs, outputs = (tuple(value.name for value in values) for values in (graph.input, graph.output))
    return Exported(model, target, inputs, outputs, nodes, found)


def _needs(*packages: str) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise InputError(f"the ONNX export needs {' and '.join(missing)}: pip install 'gatework[onnx]'.")
