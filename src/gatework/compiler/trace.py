"""A cell's `step` and its vector-Jacobian product as one small ATen graph, made by PyTorch itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from gatework.cells.cell import Cell
from gatework.cells.declarations import Matrix, Vector
from gatework.compiler.weights import Applied, matrix_names
from gatework.errors import CellError

if TYPE_CHECKING:
    from torch.fx import Graph, Node

_B, _H = 3, 5  # sizes to trace with: unequal, so that a step that mixes up its axes is noticed


class Unsupported(CellError):
    """A step that the compiler cannot take; the message says which operation and why."""


@dataclass(frozen=True)
class Product:
    """`matrix @ state` in a step: which declaration and name, and the position of its operand among the states."""

    key: str
    name: str
    operand: int


@dataclass(frozen=True)
class Traced:
    """A step and its derivative as one graph over per-unit values [B, H]; products are inputs, so it is pointwise.

    Attributes:
        products: the recurrent products in order of use.
        vectors: (declaration, name) of each learned vector.
        graph: (gates, states, vectors, products, gradients of the new states) ->
            new states, then gradients of gates, states, vectors, products.
    """

    products: tuple[Product, ...]
    vectors: tuple[tuple[str, str], ...]
    graph: Graph


class _Hole(Applied):
    """Stands for one matrix: `hole @ v` notes the operand and returns the next product."""

    def __init__(self, key: str, name: str, use: Callable[[str, str, Tensor], Tensor]) -> None:
        self.key, self.name, self.use = key, name, use

    def __matmul__(self, operand: Tensor) -> Tensor:
        return self.use(self.key, self.name, operand)


def vector_names(cell: Cell) -> tuple[tuple[str, str], ...]:
    """(declaration, name) of every vector that `step` takes."""
    return tuple(
        (key, n) for key in cell.arguments if isinstance(cell.declared[key], Vector) for n in cell.declared[key].names
    )


def _apply(
    cell: Cell, gates: Sequence[Tensor], states: Sequence[Tensor], vectors: Sequence[Tensor], use: Any
) -> tuple[Tensor, ...]:
    declared: dict[str, dict[str, Any]] = {key: {} for key in cell.arguments}
    for (key, name), value in zip(vector_names(cell), vectors, strict=True):
        declared[key][name] = value
    for key in cell.arguments:
        if not isinstance(cell.declared[key], Vector):
            declared[key] = {n: _Hole(key, n, use) for n in matrix_names(cell, key)}
    return cell.apply(
        dict(zip(cell.gate_names, gates, strict=True)), dict(zip(cell.states, states, strict=True)), declared
    )


def _check_square(cell: Cell) -> None:
    """Raise Unsupported for declarations that no kernel class takes so far."""
    declared = [cell.declared[key] for key in cell.arguments]
    if cell.sizes or not cell.gate_names or any(d.__class__ not in (Matrix, Vector) for d in declared):
        raise Unsupported("the cell has other widths than H, no input product, inputs of each step or noise.")
    for d in declared:
        if isinstance(d, Matrix) and (d.rows, d.columns, d.heads) != ("H", "H", 1):
            raise Unsupported("a matrix of the cell is not [H, H].")


def _leaves(cell: Cell) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    def some(n: int) -> list[Tensor]:
        return [torch.full((_B, _H), 0.5) for _ in range(n)]

    return some(len(cell.gate_names)), some(len(cell.states)), some(len(vector_names(cell)))


class _Record(TorchFunctionMode):
    """Writes down every torch call with the origin of its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.names: dict[int, str] = {}
        self.alive: list[Any] = []

    def name(self, value: Any) -> str:
        if isinstance(value, Tensor):
            if id(value) not in self.names:
                self.alive.append(value)
                with torch._C.DisableTorchFunction():
                    sample = value.tolist()  # a tensor from outside is told by its values
                self.names[id(value)] = f"%{len(self.names)}{sample}"
            return self.names[id(value)]
        if isinstance(value, list | tuple):
            return f"[{', '.join(self.name(v) for v in value)}]"
        return repr(value)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        call = ", ".join([self.name(a) for a in args] + [f"{k}={self.name(v)}" for k, v in (kwargs or {}).items()])
        self.lines.append(f"{resolve_name(func)}({call}) -> {self.name(result)}")
        return result


def fingerprint(cell: Cell) -> str:
    """A hash of everything that a step computes: its calls of torch on sample values, and the cell's declarations.

    Two cells with one fingerprint compile to one kernel. Takes about a millisecond and imports nothing.
    """
    _check_square(cell)
    gates, states, vectors = _leaves(cell)
    with torch.no_grad(), _Record() as record:
        leaves = [record.name(v) for v in (*gates, *states, *vectors)]

        def use(key: str, name: str, operand: Tensor) -> Tensor:
            result = torch.full_like(operand, 0.25)
            record.lines.append(f"{key}.{name} @ {record.name(operand)} -> {record.name(result)}")
            return result

        new = [record.name(v) for v in _apply(cell, gates, states, vectors, use)]
    text = "\n".join([f"{cell.gate_names} {cell.states} {vector_names(cell)} {leaves}", *record.lines, f"return {new}"])
    return hashlib.sha256(text.encode()).hexdigest()


def _find_products(cell: Cell) -> tuple[Product, ...]:
    gates, states, vectors = _leaves(cell)
    found: list[Product] = []

    def use(key: str, name: str, operand: Tensor) -> Tensor:
        position = next((k for k, s in enumerate(states) if s is operand), None)
        if position is None:
            raise Unsupported(
                f"`{key}.{name} @ ...` is applied to a value computed within the step; only products on an old state "
                f"({', '.join('s.' + s for s in cell.states)}) are compiled so far."
            )
        if any((p.key, p.name) == (key, name) for p in found):
            raise Unsupported(f"`{key}.{name}` is applied twice in one step; use its result twice instead.")
        found.append(Product(key, name, position))
        return torch.zeros_like(operand)

    _apply(cell, gates, states, vectors, use)
    return tuple(found)


def trace(cell: Cell) -> Traced:
    """Trace a cell's step and its vector-Jacobian product.

    Raises Unsupported, saying which operation, for a step that is not pointwise apart from products on old states.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    _check_square(cell)
    products, vectors = _find_products(cell), vector_names(cell)
    n_gates, n_states = len(cell.gate_names), len(cell.states)

    def step(*values: Tensor) -> tuple[Tensor, ...]:
        holes = iter(values[n_gates + n_states + len(vectors) :])
        split = values[:n_gates], values[n_gates : n_gates + n_states], values[n_gates + n_states :][: len(vectors)]
        return _apply(cell, *split, lambda key, name, operand: next(holes).clone())

    def joint(values: tuple[Tensor, ...], gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        new, pull = torch.func.vjp(step, *values)  # type: ignore[misc]
        return (*new, *pull(gradients))

    values = tuple(torch.rand(_B, _H) for _ in range(n_gates + n_states + len(vectors) + len(products)))
    try:
        joint = torch.func.functionalize(joint)  # an operation in place becomes one that returns its result
        graph = make_fx(joint, _decompositions())(values, tuple(torch.rand(_B, _H) for _ in range(n_states))).graph
    except CellError:
        raise
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        branches = any(word in first for word in ("tracing tensor", "data-dependent", "ambiguous"))
        hint = " Python control flow must not depend on tensor values." if branches else ""
        raise Unsupported(f"`step` cannot be traced: {first}{hint}") from error
    labels = (
        [f"x_{g}" for g in cell.gate_names]
        + [f"s_{s}" for s in cell.states]
        + [f"{key}_{name}" for key, name in vectors]
    )
    labels += [f"{p.key}_{p.name}" for p in products] + [f"d_{s}" for s in cell.states]
    for node, label in zip([n for n in graph.nodes if n.op == "placeholder"], labels, strict=True):
        node._rename(label)
    return Traced(products, vectors, _tidy(graph))


CONSTANTS = {"zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full"}
CONSTANTS |= {"full", "scalar_tensor", "_efficientzerotensor"}
# What a backend has a form for, although PyTorch could take it apart.
_WHOLE = {
    "sigmoid_backward",
    "tanh_backward",
    "threshold_backward",
    "hardtanh_backward",
    "softplus_backward",
    "softplus",
}
_WHOLE |= {"where", "clamp_min", "clamp_max", "rsub", "sgn", "silu"} | CONSTANTS
_SAME = {"alias", "clone", "detach", "contiguous", "view", "_unsafe_view", "expand", "lift_fresh_copy", "positive"}


@cache
def _decompositions() -> dict[Any, Any]:
    """PyTorch's own rules that take an operation apart into simpler ones."""
    from torch._decomp import core_aten_decompositions

    rules: dict[Any, Any] = core_aten_decompositions()
    return {op: rule for op, rule in rules.items() if op.__name__.partition(".")[0] not in _WHOLE}


def op_name(node: Node) -> str:
    """The ATen name of a call, such as `mul`; the empty string for other nodes."""
    return node.target.overloadpacket.__name__ if isinstance(node.target, torch._ops.OpOverload) else ""


def operands(node: Node) -> list[Node]:
    """The nodes whose values a node reads; none for constants in another's shape."""
    return [] if op_name(node) in CONSTANTS else node.all_input_nodes


def _tidy(graph: Graph) -> Graph:
    """Drop copies, merge equal calls, delete what is unused; check that every value is [B, H]."""
    seen: dict[Any, Any] = {}
    graph.eliminate_dead_code()
    for node in list(graph.nodes):
        if node.op == "get_attr":
            raise Unsupported("a tensor from outside is used in `step`; declare it with vector(...) or use a number.")
        if node.op != "call_function":
            continue
        shape = node.meta["val"].shape if isinstance(node.meta.get("val"), Tensor) else None
        if op_name(node) in _SAME and node.all_input_nodes[0].meta["val"].shape == shape:
            node.replace_all_uses_with(node.all_input_nodes[0])
            continue
        if shape is None or tuple(shape) not in ((_B, _H), ()):
            got = "several values" if shape is None else f"shape {tuple(shape)}"
            raise Unsupported(
                f"`{op_name(node) or node.target}` gives {got}; only what acts on each unit alone is compiled so far."
            )
        key = (node.target, repr(node.args), repr(sorted(node.kwargs.items(), key=lambda item: item[0])))
        if key in seen:
            node.replace_all_uses_with(seen[key])
        else:
            seen[key] = node
    graph.eliminate_dead_code()
    return graph
