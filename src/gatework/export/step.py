"""A cell's `step` with its weights as a graph of ATen operations, and which sizes in it are the batch's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Trace:
    """A traced function of leaves, whose first size is the batch, and of weights.

    Attributes:
        graph: from leaves and weights to the results, every operation out of place.
        leaves, weights: the graph's inputs.
        results: the values it returns.
        outside: tensors that the function closes over.
        shapes: of every value, with None for the size of the batch; of an operation with several results, a list.
    """

    graph: Graph
    leaves: list[Node]
    weights: list[Node]
    results: list[Node]
    outside: dict[Node, Tensor]
    shapes: dict[Node, Any]

    def bind(self, weights: Sequence[Tensor]) -> Step:
        """The trace with its weights; what is computed from them alone is computed here."""
        step = Step(self, dict(self.outside))
        step.constants.update(zip(self.weights, (w.detach() for w in weights), strict=True))
        for node in self.graph.nodes:
            if node.op == "call_function" and _is_constant(step, node):
                step.constants[node] = _evaluated(step, node)
        return step


@dataclass(frozen=True)
class Step:
    """A traced step with its weights; `constants` are the values that no leaf has a part in."""

    trace: Trace
    constants: dict[Node, Any]

    @property
    def graph(self) -> Graph:
        """Of the trace."""
        return self.trace.graph

    @property
    def leaves(self) -> list[Node]:
        """Of the trace: gates, raw input, states, further inputs."""
        return self.trace.leaves

    @property
    def results(self) -> list[Node]:
        """Of the trace: new states."""
        return self.trace.results

    def shape(self, node: Node) -> Any:
        """The shape of a value."""
        return self.trace.shapes[node]


@cache
def _decompositions() -> dict[Any, Any]:
    """PyTorch's rules that take rare operations apart; what ONNX has a node for stays whole."""
    from torch._decomp import core_aten_decompositions

    return dict(core_aten_decompositions())


def trace_step(
    function: Callable[..., Sequence[Tensor]], leaves: Callable[[int], Sequence[Tensor]], weights: Sequence[Tensor]
) -> Trace:
    """Trace a function of leaves and weights.

    Args:
        function: gives the new states.
        leaves: sample arguments for a batch of the given size.
        weights: the arguments after them.

    Raises Unsupported where the function cannot be traced, or treats batches of two sizes differently, or lets the
    rows of a batch depend on each other, which would let padding leak into results.
    """
    modules = [_graph(function, [*leaves(batch), *(w.detach() for w in weights)]) for batch in (OTHER, SAMPLE)]
    first, second = ([n for n in module.graph.nodes if n.op != "output"] for module in modules)
    if [(n.op, str(n.target)) for n in first] != [(n.op, str(n.target)) for n in second]:
        raise Unsupported("`step` does other operations for a batch of 2 than for one of 3; ONNX needs one graph.")
    for node in second:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            raise Unsupported(f"`{op_name(node)}` draws random numbers in `step`, which a file cannot hold.")
    _check_rows(function, leaves, weights)
    (output,) = (n for n in modules[1].graph.nodes if n.op == "output")
    inputs = [n for n in second if n.op == "placeholder"]
    count = len(inputs) - len(weights)
    outside = {n: getattr(modules[1], str(n.target)).detach() for n in second if n.op == "get_attr"}
    pairs = zip(first, second, strict=True)
    shapes = {node: _free(small.meta.get("val"), node.meta.get("val")) for small, node in pairs}
    return Trace(modules[1].graph, inputs[:count], inputs[count:], list(output.args[0]), outside, shapes)


@torch.no_grad()
def _check_rows(
    function: Callable[..., Sequence[Tensor]], leaves: Callable[[int], Sequence[Tensor]], weights: Sequence[Tensor]
) -> None:
    """Compare the rows of a random batch with each row alone."""
    random = torch.Generator().manual_seed(0)
    batch = [torch.rand(leaf.shape, generator=random, dtype=leaf.dtype) for leaf in leaves(SAMPLE)]
    with _disable_current_modes():
        together = function(*batch, *weights)
        for row in range(SAMPLE):
            alone = function(*(leaf[row : row + 1] for leaf in batch), *weights)
            for one, many in zip(alone, together, strict=True):
                if not torch.allclose(one, many[row : row + 1], rtol=1e-3, atol=1e-4, equal_nan=True):
                    raise Unsupported(
                        "`step` lets rows of the batch depend on each other; a sequence must stand alone."
                    )


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
    shape = step.shape(node)
    shapes = shape if isinstance(shape, list) else [shape]
    fixed = all(s is not None and None not in s for s in shapes)
    return fixed and all(n in step.constants for n in node.all_input_nodes)


def _evaluated(step: Step, node: Node) -> Any:
    args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda n: step.constants[n])
    assert callable(node.target)
    with torch.no_grad():
        return node.target(*args, **kwargs)
