"""`to_onnx`: recurrent layers as ONNX files, compared with the layers through ONNX Runtime before they are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gatework.errors import GateworkError, InputError
from gatework.nn import Recurrent
from gatework.run import durable
from gatework.say import say

if TYPE_CHECKING:
    import onnx

_LARGEST = 2**31 - 1  # bytes that one protobuf message may have


class ExportError(GateworkError):
    """An export that does not compute what its model computes, or that torch cannot make; nothing was written."""


@dataclass(frozen=True)
class Exported:
    """What an export made.

    Attributes:
        model: the ONNX model.
        path: where it was written, or None.
        inputs, outputs: their names, in order.
        nodes: how each layer is written, a line each.
        difference: the largest difference between ONNX Runtime's results and the module's, relative to the largest
            result of its kind where that is above 1; None where nothing was compared.
    """

    model: onnx.ModelProto
    path: Path | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...]
    difference: float | None


def to_onnx(
    layer: Recurrent,
    path: str | Path | None = None,
    *,
    states: bool = False,
    lengths: bool = False,
    extra: Sequence[str] = (),
    tolerance: float | None = 1e-5,
) -> Exported:
    """Write a recurrent layer as an ONNX file of any batch and time that behaves as the layer does in evaluation.

    A cell whose equations are those of ONNX's LSTM, GRU or RNN becomes that node; any other becomes a Scan with its
    step as the body. The file is run beside the layer, on random inputs of several shapes, before it is written.

    Inputs of the file: `input`, laid out as the layer takes it; then `lengths` [B] (int64), initial states `h_0`, ...
    [L * D, B, width], and what the cell takes at each step, by name. Outputs: `output`, then final states `h_n`, ...

    Args:
        layer: a layer of `gatework.nn`, float32 or float64.
        path: the file to write, or None to only make the model.
        states: take initial states as inputs; otherwise they are zeros.
        lengths: take the lengths of the sequences as an input; otherwise all are T long.
        extra: names of inputs of each step that are taken although the cell has a default for them.
        tolerance: largest difference that is accepted (see `Exported.difference`); None leaves the comparison out.

    Raises:
        InputError: arguments out of range, or packages that are missing.
        Unsupported: a step with an operation that ONNX has no form for, by name.
        ExportError: the file would differ from the layer by more than the tolerance; it is not written.
        StorageError: the file may not be written; what was there before is untouched.

    Example:
        >>> from gatework.nn import Recurrent
        >>> to_onnx(Recurrent("peephole-lstm", 3, 5), states=True).inputs
        ('input', 'h_0', 'c_0')
    """
    _needs("onnx", *(["onnxruntime"] if tolerance is not None else []))
    if not isinstance(layer, Recurrent):
        raise InputError(
            f"to_onnx takes a recurrent layer (gatework.nn.LSTM, GRU, RNN or Recurrent), not {type(layer).__name__}; "
            "for a model with such layers in it use model_to_onnx."
        )
    from gatework.export.model import build

    with _evaluating(layer):
        model, nodes = build(layer, states, lengths, extra)
        data = _bytes(model)
        found = None
        if tolerance is not None:
            from gatework.export.check import difference, layer_cases

            found = difference(data, layer_cases(layer, states, lengths, extra))
    return _finished(model, data, path, nodes, found, tolerance)


def model_to_onnx(
    model: nn.Module,
    example: Sequence[Tensor],
    path: str | Path | None = None,
    *,
    free: Mapping[str, Mapping[int, str]] | None = None,
    tolerance: float | None = 1e-5,
) -> Exported:
    """Write a model that has recurrent layers in it as an ONNX file that behaves as the model does in evaluation.

    `torch.onnx.export` writes what surrounds the layers, `to_onnx`'s forms the layers themselves. The file is run
    beside the model, on the example and on longer ones made of its values, before it is written.

    Args:
        model: a module that calls layers of `gatework.nn` on batches [T, B, I] or [B, T, I].
        example: tensors that its `forward` takes.
        path: the file to write, or None to only make the model.
        free: the axes that may have any size, by argument: {"x": {0: "batch", 1: "time"}}.
        tolerance: largest difference that is accepted (see `Exported.difference`); None leaves the comparison out.

    Raises:
        InputError: arguments out of range, or packages that are missing.
        Unsupported: a step with an operation that ONNX has no form for, by name, or a call that has none.
        ExportError: torch cannot export what surrounds the layers, or the file would differ from the model by more
            than the tolerance; it is not written.
        StorageError: the file may not be written; what was there before is untouched.
    """
    _needs("onnx", "onnxscript", *(["onnxruntime"] if tolerance is not None else []))
    if not isinstance(model, nn.Module):
        raise InputError(f"model is {type(model).__name__}; expected a torch.nn.Module.")
    from gatework.export.whole import build_whole

    with _evaluating(model):
        try:
            proto, nodes = build_whole(model, example, free)
        except torch.onnx.OnnxExporterError as error:
            if isinstance(cause := _cause(error), GateworkError):
                raise cause from error
            raise ExportError(f"torch cannot export {type(model).__name__}: {_first_line(error)}") from error
        data = _bytes(proto)
        found = None
        if tolerance is not None:
            from gatework.export.check import difference, model_cases

            found = difference(data, model_cases(model, example, free or {}))
    return _finished(proto, data, path, nodes, found, tolerance)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation without gradients; every part's mode is put back."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes.items():
            part.training = training


def _bytes(model: onnx.ModelProto) -> bytes:
    size = model.ByteSize()
    if size > _LARGEST:
        raise InputError(f"the model has {size / 1e9:.1f} GB; an ONNX file holds at most 2 GB.")
    return bytes(model.SerializeToString(deterministic=True))


def _finished(
    model: onnx.ModelProto,
    data: bytes,
    path: str | Path | None,
    nodes: tuple[str, ...],
    found: float | None,
    tolerance: float | None,
) -> Exported:
    """Write a model that passed its comparison, and say so."""
    target = None if path is None else Path(path).resolve()
    name = "the ONNX model" if target is None else target.name
    if found is not None and tolerance is not None and not found <= tolerance:
        raise ExportError(
            f"{name} would differ from the layer by {found:.1e} in ONNX Runtime, more than {tolerance:.0e}; it was not "
            "written. Export in double precision (.double()), or accept the difference: tolerance=..."
        )
    if target is not None:
        durable.write(target, data)
    compared = "not compared" if found is None else f"ONNX Runtime differs from it by at most {found:.1e}"
    say(f"{name}: {', '.join(nodes)}; {compared}")
    inputs, outputs = (tuple(value.name for value in values) for values in (model.graph.input, model.graph.output))
    return Exported(model, target, inputs, outputs, nodes, found)


def _cause(error: BaseException) -> BaseException:
    """The first error behind an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _first_line(error: BaseException) -> str:
    return (str(_cause(error)).strip() or type(error).__name__).splitlines()[0]


def _needs(*packages: str) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise InputError(f"the ONNX export needs {' and '.join(missing)}: pip install 'gatework[onnx]'.")
