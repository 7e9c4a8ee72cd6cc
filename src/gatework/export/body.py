"""A cell's traced step as ONNX nodes, operation by operation."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from torch.fx import Node

from gatework.compiler.graph import Unsupported, op_name
from gatework.export.layout import LAYOUT
from gatework.export.operation import Operation
from gatework.export.pointwise import POINTWISE
from gatework.export.products import groups, write_products
from gatework.export.row import ROWS
from gatework.export.step import Step
from gatework.export.writer import Writer

RULES = POINTWISE | ROWS | LAYOUT


def write_step(writer: Writer, step: Step, leaves: Sequence[str]) -> list[str]:
    """Write a traced step into `writer`'s graph; `leaves` are the names of its inputs there.

    Products of one value with several weights become one product, cut apart after it.

    Raises Unsupported for an operation that has no form in ONNX, by name.
    """
    names: dict[Node, Any] = dict(zip(step.leaves, leaves, strict=True))
    batches: list[str] = []

    def batch() -> str:
        if not batches:
            one = next(k for k, leaf in enumerate(step.leaves) if step.shape(leaf)[:1] == (None,))
            batches.append(writer.node("Shape", leaves[one], to="batch", start=0, end=1))
        return batches[0]

    together = groups(step)
    for node in step.graph.nodes:
        if node.op == "call_function" and node not in step.constants and node not in names:
            if node in together:
                names |= write_products(writer, step, together[node], names)
            else:
                names[node] = _write(writer, step, node, names, batch)
    return [_named(writer, step, node, names) for node in step.results]


def _named(writer: Writer, step: Step, node: Node, names: dict[Node, Any]) -> Any:
    if node not in names and node in step.constants:
        names[node] = writer.constant(step.constants[node], node.name.lstrip("_"))
    return names[node]


def _write(writer: Writer, step: Step, node: Node, names: dict[Node, Any], batch: Any) -> str | list[str]:
    for source in node.all_input_nodes:
        _named(writer, step, source, names)
    if node.target is operator.getitem:
        return str(names[node.args[0]][node.args[1]])  # type: ignore[index]
    kind = op_name(node)
    if kind not in RULES:
        raise Unsupported(
            f"`{kind or node.target}` in `step` has no form in the ONNX export. Write the step without it, or add it "
            "to the rules of gatework/export."
        )
    return RULES[kind](Operation(writer, node, names, step.shape(node), batch))
