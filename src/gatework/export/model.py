"""A layer's ONNX model: inputs, the layer's nodes, outputs."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import torch
from onnx import helper

import gatework
from gatework.cells.declarations import Extra
from gatework.errors import InputError
from gatework.export.layer import Given, write_layer
from gatework.export.writer import IR_VERSION, OPSET, Writer, value_info
from gatework.nn import Recurrent


def dtype_of(layer: Recurrent) -> torch.dtype:
    """The dtype of a layer's weights.  Raises InputError where runtimes do not take it, or they are not on the CPU."""
    dtype = next((p.dtype for p in layer.parameters()), torch.get_default_dtype())
    if devices := {str(p.device) for p in layer.parameters() if p.device.type != "cpu"}:
        raise InputError(f"the layer is on {devices.pop()}; an export is compared on the CPU. Move it: layer.cpu().")
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"the layer is {dtype}; ONNX is written in float32 or float64. Convert it: layer.float().")
    return dtype


def further_inputs(layer: Recurrent, extra: Sequence[str] = ()) -> dict[str, tuple[str, int]]:
    """What a file takes at each step beside x: "declaration.name" -> name and width.

    Those without a default, and those that `extra` names.  Raises InputError where it names another.
    """
    known = [name for _, name, _ in layer.cell.entries(Extra)]
    if unknown := [name for name in extra if name not in known]:
        has = ", ".join(known) or "nothing"
        raise InputError(f"extra names {unknown[0]!r}; beside x, cell {layer.cell.name} takes at each step: {has}.")
    entries = [(key, name, d) for key, name, d in layer.cell.entries(Extra) if d.default is None or name in extra]
    sizes = [layer.cell.measure(d.size, layer.hidden_size, layer.input_size) for _, _, d in entries]
    return {f"{key}.{name}": (name, size) for (key, name, _), size in zip(entries, sizes, strict=True)}


def build(
    layer: Recurrent, states: bool, lengths: bool, extra: Sequence[str]
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The model of a layer in evaluation, and how each layer is written; see `to_onnx`."""
    writer, dtype = Writer(), dtype_of(layer)
    sequence = ("batch", "time") if layer.batch_first else ("time", "batch")
    rows = layer.num_layers * layer.num_directions
    inputs = [value_info(writer.name("input"), dtype, (*sequence, layer.input_size))]
    if lengths:
        inputs.append(value_info(writer.name("lengths"), torch.int64, ("batch",)))
    initial = None
    if states:
        initial = [writer.name(f"{state}_0") for state in layer.cell.states]
        shapes = [(rows, "batch", width) for width in layer.state_sizes]
        inputs += [value_info(name, dtype, shape) for name, shape in zip(initial, shapes, strict=True)]
    further = further_inputs(layer, extra)
    named = {full: writer.name(name) for full, (name, _) in further.items()}
    inputs += [value_info(named[full], dtype, (*sequence, size)) for full, (_, size) in further.items()]
    result = write_layer(writer, layer, Given("input", initial, "lengths" if lengths else None, named), dtype)
    names = ["output", *(f"{state}_n" for state in layer.cell.states)]
    results = zip((result.y, *result.finals), names, strict=True)
    last = [writer.node("Identity", value, to=name) for value, name in results]
    width = layer.output_size * layer.num_directions
    outputs = [value_info(last[0], dtype, (*sequence, width))]
    outputs += [value_info(n, dtype, (rows, "batch", w)) for n, w in zip(last[1:], layer.state_sizes, strict=True)]
    model = helper.make_model(
        writer.graph(f"{layer.cell.name.replace('-', '_')}", inputs, outputs),
        producer_name="gatework",
        producer_version=gatework.__version__,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    return model, result.nodes
