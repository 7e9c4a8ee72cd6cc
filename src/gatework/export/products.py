"""Products with learned matrices in a traced step, and those on one operand as one product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from gatework.compiler.graph import op_name
from gatework.export.step import Step
from gatework.export.writer import Writer


@dataclass(frozen=True)
class Product:
    """`operand [B, n] @ weight [n, m] + bias [m]`; bias may be None."""

    operand: Node
    weight: Tensor
    bias: Tensor | None


def product(step: Step, node: Node) -> Product | None:
    """The node as a product with a constant matrix, or None."""
    if op_name(node) not in ("mm", "addmm") or node.kwargs or node in step.constants:
        return None
    bias, operand, weight = node.args if op_name(node) == "addmm" else (None, *node.args)
    if weight not in step.constants or operand in step.constants or not isinstance(operand, Node):
        return None
    if bias is not None and (bias not in step.constants or step.constants[bias].dim() != 1):  # type: ignore[index]
        return None
    return Product(operand, step.constants[weight], None if bias is None else step.constants[bias])  # type: ignore[index]


def groups(step: Step) -> dict[Node, list[Node]]:
    """Each product with all products on the same operand."""
    by_operand: dict[Node, list[Node]] = {}
    for node in step.graph.nodes:
        found = product(step, node)
        if found is not None:
            by_operand.setdefault(found.operand, []).append(node)
    return {node: group for group in by_operand.values() for node in group}


def write_products(writer: Writer, step: Step, group: Sequence[Node], names: Mapping[Node, Any]) -> dict[Node, str]:
    """Write a group as one product that is cut apart; the name of each part."""
    parts = [p for node in group if (p := product(step, node)) is not None]
    weights = [p.weight for p in parts]
    total = writer.node("MatMul", names[parts[0].operand], writer.constant(torch.cat(weights, 1), "weight_hh"))
    if any(p.bias is not None for p in parts):
        biases = [w.new_zeros(w.shape[1]) if p.bias is None else p.bias for p, w in zip(parts, weights, strict=True)]
        total = writer.node("Add", total, writer.constant(torch.cat(biases), "bias_hh"))
    if len(group) == 1:
        return {group[0]: total}
    sizes = writer.ints(*(w.shape[1] for w in weights))
    return dict(zip(group, writer.split("Split", total, sizes, to=[n.name for n in group], axis=-1), strict=True))
