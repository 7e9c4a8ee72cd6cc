"""A model with recurrent layers inside it: torch's exporter writes the rest, with a stand-in for each layer.

During the export every layer answers with a node `gatework.Layer` of no meaning to any runtime; in the finished model
that node is replaced by what `write_layer` writes. So batch and time stay free whatever the cell is, where tracing the
layer itself would unroll its loop.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from gatework.compiler.graph import Unsupported
from gatework.errors import InputError
from gatework.export.layer import Given, write_layer
from gatework.export.model import dtype_of, further_inputs
from gatework.export.writer import OPSET, Writer
from gatework.nn import Recurrent

_DOMAIN = "gatework"
Free = Mapping[str, Mapping[int, str]]


def build_whole(
    model: nn.Module, example: Sequence[Tensor], free: Free | None
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The ONNX model of a module in evaluation, and how each layer in it is written; see `to_onnx`.

    Raises Unsupported for a call of a layer that cannot be written.
    """
    layers = {name: module for name, module in model.named_modules() if isinstance(module, Recurrent)}
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        for name, layer in layers.items():
            stack.enter_context(_standing_in(layer, name))
        shapes = None if free is None else {name: dict(axes) for name, axes in free.items()}
        program = torch.onnx.export(
            model, tuple(example), dynamo=True, dynamic_shapes=shapes, opset_version=OPSET, verbose=False
        )
    if program is None:
        raise Unsupported("torch.onnx.export made no model.")
    proto: onnx.ModelProto = program.model_proto
    lines = _write_layers(proto, layers)
    onnx.checker.check_model(proto, full_check=True)
    return proto, lines


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter says about itself: packages that nobody asked for, and its own old calls."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _standing_in(layer: Recurrent, name: str) -> Iterator[None]:
    """While this lasts, a call of the layer leaves one node that names it."""

    def forward(input: Any, hx: Any = None, lengths: Any = None, extra: Any = None) -> tuple[Tensor, Any]:
        if not isinstance(input, Tensor) or input.dim() != 3:
            raise Unsupported(f"layer {name} is called with {_kind(input)}; ONNX takes batches [T, B, I], and lengths.")
        states = [] if hx is None else [hx] if isinstance(hx, Tensor) else list(hx)
        given = [] if lengths is None else [torch.as_tensor(lengths).to(torch.int64)]
        sequence, known = input.shape[:2], further_inputs(layer, [name.split(".")[-1] for name in extra or {}])
        further = [_further(extra or {}, full, short, sequence, input.dtype) for full, (short, _) in known.items()]
        B = sequence[0 if layer.batch_first else 1]
        rows = layer.num_layers * layer.num_directions
        shapes = [(*sequence, layer.output_size * layer.num_directions)]
        shapes += [(rows, B, width) for width in layer.state_sizes]
        y, *finals = torch.onnx.ops.symbolic_multi_out(
            f"{_DOMAIN}::Layer",
            (input, *states, *given, *further),
            {"layer": name, "states": len(states), "lengths": len(given), "extra": ",".join(known)},
            dtypes=[input.dtype] * len(shapes),
            shapes=shapes,
            version=1,
        )
        return y, finals[0] if len(finals) == 1 else tuple(finals)

    layer.forward = forward  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        del layer.forward


def _further(extra: Mapping[str, Tensor], full: str, short: str, sequence: Sequence[Any], dtype: torch.dtype) -> Tensor:
    """An input of each step, laid out like x; masks and counts come as bools and whole numbers."""
    found = extra.get(full, extra.get(short))
    if found is None:
        raise InputError(f"a layer in the model needs its input {short!r} at each step; give extra={{{short!r}: ...}}.")
    return found.reshape(*sequence, -1).to(dtype)


def _kind(value: Any) -> str:
    return f"a tensor of {value.dim()} axes" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _write_layers(model: onnx.ModelProto, layers: Mapping[str, Recurrent]) -> tuple[str, ...]:
    """Replace every stand-in by its layer's nodes."""
    writer, lines, names = Writer(), [], _taken(model.graph)
    writer.reserve(names)
    for node in model.graph.node:
        if node.domain != _DOMAIN:
            writer.nodes.append(node)
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        name = attributes["layer"].decode()
        layer, inputs = layers[name], list(node.input[1:])
        states = [inputs.pop(0) for _ in range(attributes["states"])]
        lengths = inputs.pop(0) if attributes["lengths"] else None
        further = attributes["extra"].decode().split(",")
        given = Given(node.input[0], states or None, lengths, dict(zip(filter(None, further), inputs, strict=True)))
        result = write_layer(writer, layer, given, dtype_of(layer))
        for value, output in zip((result.y, *result.finals), node.output, strict=True):
            writer.nodes.append(helper.make_node("Identity", [value], [output], name=writer.name(f"node_{output}")))
        lines += [f"{name} {line}" for line in result.nodes]
    del model.graph.node[:]
    model.graph.node.extend(writer.nodes)
    model.graph.initializer.extend(writer.initializers)
    ours = [entry for entry in model.opset_import if entry.domain != _DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(ours)
    return tuple(lines)


def _taken(graph: onnx.GraphProto) -> set[str]:
    """Every name that the model has already."""
    values = {v for node in graph.node for v in (*node.input, *node.output, node.name)}
    return values | {v.name for v in (*graph.input, *graph.output, *graph.initializer, *graph.value_info)}
