"""A cell over time as a Scan with the step as its body, for every cell that no standard node stands for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.fx import Node

from gatework.cells.declarations import Extra
from gatework.export.body import write_step
from gatework.export.direction import Direction, Sequences
from gatework.export.writer import Writer, value_info


@dataclass(frozen=True)
class _Slice:
    """A value that Scan hands out step by step: its name in the body, the whole one outside, and a step's shape."""

    name: str
    whole: str
    shape: tuple[int | str, ...]
    whole_numbers: bool = False


def write_scan(writer: Writer, one: Direction, read: Sequences, states: Sequence[str]) -> tuple[str, list[str]]:
    """Write a Scan over time; past its length a row's states stand still and its outputs are zero.

    Args:
        writer: the graph.
        one: the cell and its weights.
        read: the inputs.
        states: initial states, each [B, width].

    Returns:
        outputs [T, B, width of the first state], and the final states, each [B, width].
    """
    body, gates = writer.body(), len(one.cell.gate_names)
    olds = [writer.name(f"old_{state}") for state in one.cell.states]
    slices, leaves = _slices(writer, one, read)
    if gates and leaves[0]:
        sizes = [_width(leaf) for leaf in one.step.leaves[:gates]]
        names = [f"x_{gate}" for gate in one.cell.gate_names]
        if gates > 1:
            leaves[:gates] = body.split("Split", leaves[0], body.ints(*sizes), to=names, axis=1)
    news = write_step(body, one.step, [*leaves[: gates + 1], *olds, *leaves[gates + 1 :]])
    y = news[0]
    if read.lengths is not None:
        running = body.node("Less", slices[-1].name, read.lengths, to="running")
        running = body.node("Unsqueeze", running, body.ints(1), to="running")
        y = body.node("Where", running, y, body.number(0.0, one.dtype))
        news = [body.node("Where", running, new, old) for new, old in zip(news, olds, strict=True)]
    results = [body.node("Identity", value, to=f"new_{s}") for s, value in zip(one.cell.states, news, strict=True)]
    results.append(body.node("Identity", y, to="output"))
    inputs = [value_info(n, one.dtype, ("batch", w)) for n, w in zip(olds, one.widths, strict=True)]
    inputs += [value_info(s.name, torch.int64 if s.whole_numbers else one.dtype, s.shape) for s in slices]
    widths = *one.widths, one.widths[0]
    outputs = [value_info(n, one.dtype, ("batch", width)) for n, width in zip(results, widths, strict=True)]
    way = int(one.reverse)
    names = [*(f"last_{state}" for state in one.cell.states), "outputs"]
    *finals, y = writer.split(
        "Scan",
        *states,
        *(s.whole for s in slices),
        to=names,
        body=body.graph(f"step_of_{one.cell.name.replace('-', '_')}", inputs, outputs),
        num_scan_inputs=len(slices),
        scan_input_directions=[way] * len(slices),
        scan_output_directions=[way],
    )
    return y, finals


def _slices(writer: Writer, one: Direction, read: Sequences) -> tuple[list[_Slice], list[str]]:
    """What Scan hands out, and the names of the leaves "gates", "raw" and extra inputs in the body ("" for unused).

    All gates come as one value, under the first one's name.
    """
    step, cell, gates = one.step, one.cell, len(one.cell.gate_names)
    extra = step.leaves[gates + 1 + len(one.widths) :]
    slices, leaves = [], [""] * (gates + 1 + len(extra))
    if any(leaf.users for leaf in step.leaves[:gates]):
        width = sum(_width(leaf) for leaf in step.leaves[:gates])
        slices.append(_Slice(writer.name("x"), _input_product(writer, one, read.x), ("batch", width)))
        leaves[0] = slices[-1].name
    wholes = [read.x, *(read.extra[f"{key}.{name}"] for key, name, _ in cell.entries(Extra))]
    names = ["raw", *(name for _, name, _ in cell.entries(Extra))]
    for k, (leaf, whole, name) in enumerate(zip((step.leaves[gates], *extra), wholes, names, strict=True), gates):
        if leaf.users:
            slices.append(_Slice(writer.name(name), whole, ("batch", _width(leaf))))
            leaves[k] = slices[-1].name
    if read.lengths is not None or not slices:  # a Scan needs something to count its steps by
        slices.append(_Slice(writer.name("position"), read.positions(), (), True))
    return slices, leaves


def _width(leaf: Node) -> int:
    return int(leaf.meta["val"].shape[1])


def _input_product(writer: Writer, one: Direction, x: str) -> str:
    """`W x + b` of all gates and steps, [T, B, sum of their widths]."""
    product = writer.node("MatMul", x, writer.constant(one.params["weight_ih"].t(), "weight_ih"), to="products")
    if "bias_ih" in one.params:
        product = writer.node("Add", product, writer.constant(one.params["bias_ih"], "bias_ih"), to="products")
    return product
