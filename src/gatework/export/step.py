"""A cell's `step` with its weights as a graph of ATen operations, and which sizes in it are the batch's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import _disable_current_modes

from gatework.compiler.graph import Unsupported, op_name

OTHER, SAMPLE = 2, 3  # sizes of the batch to trace with; the graph kept is that of SAMPLE
Shape = tuple[int | None, ...]


@dataclass
class Step:
    """A traced step.

    Attributes:
        graph: from the leaves to the new states, every operation out of place.
        leaves: the graph's inputs, in the order of the arguments it was traced with.
        results: the values it returns.
        constants: the values that no leaf has a part in: weights, and what is computed from them alone.
        shapes: of every value, with None for the size of the batch; of an operation with several results, a list.
    """

    graph: Graph
    leaves: list[Node]
    results: list[Node]
    constants: dict[Node, Any] = field(default_factory=dict)
    shapes: dict[Node, Any] = field(default_factory=dict)

    def shape(self, node: Node) -> Shape:
        """The shape of a value."""
        shape: Shape = self.shapes[node]
        return shape


@cache
def _decompositions() -> dict[Any, Any]:
    """PyTorch's rules that take rare operations apart; what ONNX has a node for stays whole."""
    from torch._decomp import core_aten_decompositions

    return dict(core_aten_decompositions())


def trace_step(function: Callable[..., Sequence[Tensor]], leaves: Callable[[int], Sequence[Tensor]]) -> Step:
    """Trace a function of tensors whose first size is the batch.

    Args:
        function: gives the new states; tensors that it closes over become constants.
        leaves: sample arguments for a batch of the given size.

    Raises Unsupported where the function cannot be traced, or treats batches of two sizes differently.
    """
    traced = [_graph(function, leaves(batch)) for batch in (OTHER, SAMPLE)]
    first, second = ([n for n in module.graph.nodes if n.op != "output"] for module in traced)
    if [(n.op, str(n.target)) for n in first] != [(n.op, str(n.target)) for n in second]:
        raise Unsupported("`step` does other operations for a batch of 2 than for one of 3; ONNX needs one graph.")
    module = traced[1]
    (output,) = (n for n in module.graph.nodes if n.op == "output")
    step = Step(module.graph, [n for n in second if n.op == "placeholder"], list(output.args[0]))
    for small, node in zip(first, second, strict=True):
        step.shapes[node] = _free(small.meta.get("val"), node.meta.get("val"))
        if node.op == "get_attr":
            step.constants[node] = getattr(module, str(node.target)).detach()
        elif node.op == "call_function" and _is_constant(step, node):
            step.constants[node] = _evaluated(step, node)
    return step


def _graph(function: Callable[..., Sequence[Tensor]], leaves: Sequence[Tensor]) -> GraphModule:
    def flat(*values: Tensor) -> tuple[Tensor, ...]:
        return tuple(function(*values))

    try:
        with torch.no_grad(), _disable_current_modes():
            module: GraphModule = make_fx(torch.func.functionalize(flat), _decompositions())(*leaves)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        raise Unsupported(f"`step` cannot be traced: {first}") from error
    module.graph.eliminate_dead_code()
    return module


def _free(small: Any, large: Any) -> Any:
    """A shape with None where it grows with the batch."""
    if isinstance(large, Tensor):
        return tuple(b if a == b else None for a, b in zip(small.shape, large.shape, strict=True))
    if isinstance(large, tuple | list):
        return [_free(a, b) for a, b in zip(small, large, strict=True)]
    return None


def _is_constant(step: Step, node: Node) -> bool:
    shapes = step.shapes[node] if isinstance(step.shapes[node], list) else [step.shapes[node]]
    fixed = all(shape is not None and None not in shape for shape in shapes)
    return fixed and all(n in step.constants for n in node.all_input_nodes)


def _evaluated(step: Step, node: Node) -> Any:
    if op_name(node) in ("rand", "rand_like", "randn", "randn_like", "bernoulli", "native_dropout"):
        raise Unsupported(f"`{op_name(node)}` draws random numbers in `step`, which a file cannot hold.")
    args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda n: step.constants[n])
    assert callable(node.target)
    with torch.no_grad():
        return node.target(*args, **kwargs)
