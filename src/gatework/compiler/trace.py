"""A cell's `step` and its vector-Jacobian product as one small ATen graph, made by PyTorch itself."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name

from gatework.cells.cell import Cell
from gatework.cells.declarations import Extra, Matrix, Noise, Vector
from gatework.cells.sizes import Size
from gatework.compiler.decompose import decompositions
from gatework.compiler.graph import CONSTANTS, UnclearSize, Unsupported, is_read, is_row_operation, op_name, size_of
from gatework.compiler.size_numbers import give_numbers_formulas
from gatework.compiler.sizes import BATCH, Sizes, candidates
from gatework.compiler.tidy import tidy
from gatework.compiler.weights import Applied
from gatework.errors import CellError

if TYPE_CHECKING:
    from torch.fx import Graph, Node

# kind and position of a value that a step is given: ("gate", 0), ("old", 1), ("sum", 2) ...
Value = tuple[str, int]


@dataclass(frozen=True)
class Product:
    """`matrix @ operand` in a step: its declaration and name, and the position of its operand in `Traced.operands`."""

    key: str
    name: str
    operand: int


@dataclass(frozen=True)
class Traced:
    """A step and its derivative as one graph over rows of units [B, size]; products are inputs of it.

    Attributes:
        cell: whose step it is.
        sizes: what it was traced with.
        pointwise: every value has H units, every operand is an old state and no operation looks across units. Then
            extra inputs of one number stand in the graph spread over the units, and operands have no gradient of their
            own: the caller adds that of the products to the old state's.
        products: the products in order of use.
        hoisted: (declaration, name) of products of the raw input; they are "gate" values after the cell's.
        operands: what each group of products is applied to: a leaf, or None for a value computed in the step.
        leaves: what the graph is given: "gate", "old", "vector", "extra", "noise", "raw" and "sum" values, then the
            gradients of new states, "d_new", and of operands, "d_operand".
        new, applied: new states and operands.
        gradients: of each leaf of the step that has one.
    """

    cell: Cell
    sizes: Sizes
    pointwise: bool
    products: tuple[Product, ...]
    hoisted: tuple[tuple[str, str], ...]
    operands: tuple[Value | None, ...]
    graph: Graph
    leaves: dict[Node, Value]
    new: tuple[Node, ...]
    applied: tuple[Node, ...]
    gradients: dict[Value, Node]

    @property
    def vectors(self) -> tuple[tuple[str, str], ...]:
        """(declaration, name) of each learned vector."""
        return vector_names(self.cell)


class _Hole(Applied):
    """Stands for one matrix: `hole @ v` notes the operand and returns the next product."""

    def __init__(self, key: str, name: str, use: Callable[[str, str, Tensor], Tensor]) -> None:
        self.key, self.name, self.use = key, name, use

    def __matmul__(self, operand: Tensor) -> Tensor:
        return self.use(self.key, self.name, operand)


def vector_names(cell: Cell) -> tuple[tuple[str, str], ...]:
    """(declaration, name) of every vector that `step` takes."""
    return tuple((key, name) for key, name, _ in cell.entries(Vector))


_LEAVES = ("gate", "old", "vector", "extra", "noise", "raw")


def _leaf_sizes(cell: Cell, sizes: Sizes) -> dict[Value, int]:
    """The size of every leaf of a step but its products."""

    def measure(text: Size) -> int:
        return cell.measure(text, sizes.hidden, sizes.input)

    texts: dict[str, list[Size]] = {
        "gate": [cell.expression("x", g) for g in cell.gate_names],
        "old": [cell.expression("s", s) for s in cell.states],
        "raw": ["I"],
    }
    texts["vector"] = [d.size for _, _, d in cell.entries(Vector)]
    texts["extra"] = [d.size for _, _, d in cell.entries(Extra)]
    texts["noise"] = [d.size for _, _, d in cell.entries(Noise)]
    return {(kind, k): measure(text) for kind in _LEAVES for k, text in enumerate(texts[kind])}


def _apply(cell: Cell, values: Mapping[Value, Tensor], use: Any) -> tuple[Tensor, ...]:
    declared: dict[str, dict[str, Any]] = {key: {} for key in cell.arguments}
    for kind, declaration in (("vector", Vector), ("extra", Extra), ("noise", Noise)):
        for k, (key, name, _) in enumerate(cell.entries(declaration)):
            declared[key][name] = values[kind, k]
    for key, name, _ in cell.entries(Matrix):
        declared[key][name] = _Hole(key, name, use)
    gates = {g: values["gate", k] for k, g in enumerate(cell.gate_names)} | {"raw": values["raw", 0]}
    return cell.apply(gates, {s: values["old", k] for k, s in enumerate(cell.states)}, declared)


class _Record(TorchFunctionMode):
    """Writes down every torch call with the origin of its arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.names: dict[int, str] = {}
        self.alive: list[Any] = []
        self.looks_at_shapes = False

    def leaf(self, value: Tensor, label: str) -> str:
        self.alive.append(value)
        self.names[id(value)] = label
        return label

    def name(self, value: Any) -> str:
        if isinstance(value, Tensor):
            if id(value) not in self.names:
                with torch._C.DisableTorchFunction():
                    sample = value.tolist() if value.numel() < 4096 else value.double().sum().item()
                self.leaf(value, f"%{len(self.names)}{sample}")  # a tensor from outside is told by its values
            return self.names[id(value)]
        if isinstance(value, list | tuple):
            return f"[{', '.join(self.name(v) for v in value)}]"
        return repr(value)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = resolve_name(func) or repr(func)
        self.looks_at_shapes |= "shape" in name or name.endswith(("size", "numel", "dim"))
        call = ", ".join([self.name(a) for a in args] + [f"{k}={self.name(v)}" for k, v in (kwargs or {}).items()])
        self.lines.append(f"{name}({call}) -> {self.name(result)}")
        return result


@dataclass(frozen=True)
class _Found:
    """What one run of a step on sample values shows: its calls of torch, its products and what they are applied to."""

    record: _Record
    sizes: Sizes
    products: tuple[Product, ...]
    hoisted: tuple[tuple[str, str], ...]
    operands: tuple[Value | None, ...]


def _record(cell: Cell, sizes: Sizes) -> _Found:
    """Run a step once on sample values."""
    leaves = {value: torch.full((BATCH, n), 0.5) for value, n in _leaf_sizes(cell, sizes).items()}
    products: list[Product] = []
    hoisted: list[tuple[str, str]] = []
    operands: list[tuple[Tensor, Value | None]] = []

    def use(key: str, name: str, operand: Tensor) -> Tensor:
        declared = cell.declared[key]
        assert isinstance(declared, Matrix)
        rows, columns = (cell.measure(text, sizes.hidden, sizes.input) for text in (declared.rows, declared.columns))
        if operand.shape != (BATCH, columns):
            raise CellError(
                f"cell {cell.name}: `{key}.{name} @ ...` is applied to shape {tuple(operand.shape)}; "
                f"expected [B, {declared.columns}] = {(BATCH, columns)}."
            )
        if operand is leaves["raw", 0] and cell.heads_of(key, sizes.hidden, sizes.input) == 1:
            hoisted.append((key, name))
        else:
            position = next((k for k, (known, _) in enumerate(operands) if known is operand), len(operands))
            if position == len(operands):
                operands.append((operand, next((value for value, leaf in leaves.items() if leaf is operand), None)))
            products.append(Product(key, name, position))
        result = torch.full((BATCH, rows), 0.25)
        label = record.leaf(result, f"product {len(products)} {len(hoisted)}")
        record.lines.append(f"{key}.{name} @ {record.name(operand)} -> {label}")
        return result

    with torch.no_grad(), _Record() as record:
        for (kind, k), leaf in leaves.items():
            record.leaf(leaf, f"{kind} {k}")
        new = _apply(cell, leaves, use)
        record.lines.append(f"return {[record.name(v) for v in new]}")
    return _Found(record, sizes, tuple(products), tuple(hoisted), tuple(value for _, value in operands))


def _recorded(cell: Cell) -> Iterator[_Found]:
    """`_record` with the sizes that the step takes, the smallest first; at least one."""
    error: RuntimeError | None = None
    found = False
    for sizes in candidates(cell):
        try:
            run = _record(cell, sizes)
        except RuntimeError as e:
            error = error or e
            continue
        found = True
        yield run
    if found:
        return
    assert error is not None
    if any(words in str(error) for words in ("invalid for input of size", "unflatten", "divisible")):
        raise Unsupported(f"`step` works only with some sizes, which cannot be told: {error}") from error
    raise error


def fingerprint(cell: Cell) -> str:
    """A hash of everything that a step computes: its calls of torch on sample values, and the cell's declarations.

    Two cells with one fingerprint compile to one kernel. Takes about a millisecond and imports nothing.
    """
    found = next(_recorded(cell))
    declared = [repr((key, d)) for key, d in cell.declared.items() if key in cell.arguments]
    names = f"{cell.gate_names} {cell.states} {declared} {found.sizes}"
    return hashlib.sha256("\n".join([names, *found.record.lines]).encode()).hexdigest()


def _untraceable(error: RuntimeError) -> Unsupported:
    first = str(error).strip().splitlines()[0]
    branches = any(word in first for word in ("tracing tensor", "data-dependent", "ambiguous"))
    hint = " Python control flow must not depend on tensor values." if branches else ""
    return Unsupported(f"`step` cannot be traced: {first}{hint}")


def trace(cell: Cell, pointwise: bool = True) -> Traced:
    """Trace a cell's step and its vector-Jacobian product; with `pointwise`, as a pointwise one where it is.

    Raises Unsupported, saying which operation, for a step that is more than pointwise work, operations over the units
    and products.
    """
    error: UnclearSize | None = None
    for found in _recorded(cell):
        try:
            return _trace_found(cell, found, pointwise)
        except UnclearSize as e:  # a part of a row that is not a whole number of units in this trace
            error = error or e
    assert error is not None
    raise error


def _trace_found(cell: Cell, found: _Found, pointwise: bool) -> Traced:
    traced = _trace_with(cell, found.sizes, found, pointwise and _may_be_pointwise(cell, found))
    if traced.pointwise and not _is_pointwise(traced):
        traced = _trace_with(cell, found.sizes, found, False)
    if found.record.looks_at_shapes or any(is_row_operation(n) for n in traced.graph.nodes):
        other = _trace_with(cell, next(candidates(cell, unlike=found.sizes)), found, traced.pointwise)
        give_numbers_formulas(traced.graph, traced.sizes, other.graph, other.sizes)
    return traced


def _may_be_pointwise(cell: Cell, found: _Found) -> bool:
    """Whether every value has H units and every product is on an old state, as far as declarations tell."""
    sizes = found.sizes
    wide = {n for (kind, _), n in _leaf_sizes(cell, sizes).items() if kind not in ("extra", "raw")}
    wide |= {n for (kind, _), n in _leaf_sizes(cell, sizes).items() if kind == "extra" and n != 1}
    matrices = [(key, name, d) for key, name, d in cell.entries(Matrix)]
    square = all(
        (str(d.rows), str(d.columns)) == ("H", "I" if (key, name) in found.hoisted else "H")
        and cell.heads_of(key, sizes.hidden, sizes.input) == 1
        for key, name, d in matrices
    )
    return wide <= {sizes.hidden} and square and all(v is not None and v[0] == "old" for v in found.operands)


def _is_pointwise(traced: Traced) -> bool:
    """Whether every value turned out to have H units, and the raw input to be used only where nothing is recurrent."""
    read = [n for n in traced.graph.nodes if is_read(n) and op_name(n) not in CONSTANTS]
    raw = [n for n, value in traced.leaves.items() if value == ("raw", 0) and is_read(n) and traced.products]
    return not raw and not any(is_row_operation(n) or size_of(n) not in (1, traced.sizes.hidden) for n in read)


def _trace_with(cell: Cell, sizes: Sizes, found: _Found, pointwise: bool) -> Traced:
    """Trace with given sizes.  A pointwise trace has extra inputs of one number a row spread over the units."""
    from torch.fx.experimental.proxy_tensor import make_fx

    leaves = _leaf_sizes(cell, sizes)
    if pointwise:
        leaves |= {value: sizes.hidden for value in leaves if value[0] == "extra"}
    products, operands, n_gates = found.products, found.operands, len(cell.gate_names)

    def rows_of(key: str) -> int:
        return cell.measure(cell.declared[key].rows, sizes.hidden, sizes.input)  # type: ignore[attr-defined]

    leaves |= {("gate", n_gates + k): rows_of(key) for k, (key, _) in enumerate(found.hoisted)}
    rows = [rows_of(p.key) for p in products]
    keys = [*leaves, *(("sum", k) for k in range(len(products)))]

    def step(*values: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(keys, values, strict=True))
        used: dict[int, Tensor] = {}
        count, outside = iter(range(len(products))), iter(range(n_gates, n_gates + len(found.hoisted)))

        def use(key: str, name: str, operand: Tensor) -> Tensor:
            if operand is given["raw", 0] and (key, name) in found.hoisted:
                return given["gate", next(outside)].clone()
            k = next(count)
            used.setdefault(products[k].operand, operand)
            return given["sum", k].clone()

        new = _apply(cell, given, use)
        return (*new, *(used[k].clone() for k in range(0 if pointwise else len(operands))))

    def joint(values: tuple[Tensor, ...], gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        new, pull = torch.func.vjp(step, *values)  # type: ignore[misc]
        return (*new, *pull(gradients))

    values = tuple(torch.rand(BATCH, n) for n in (*leaves.values(), *rows))
    n_states = len(cell.states)
    try:
        with torch.no_grad():
            outputs = step(*values)
        joint = torch.func.functionalize(joint)  # an operation in place becomes one that returns its result
        graph = make_fx(joint, decompositions())(values, tuple(torch.rand_like(v) for v in outputs)).graph
    except CellError:
        raise
    except RuntimeError as error:
        raise _untraceable(error) from error
    keys += [("d_new", k) for k in range(n_states)] + [("d_operand", k) for k in range(len(outputs) - n_states)]
    nodes = dict(zip([n for n in graph.nodes if n.op == "placeholder"], keys, strict=True))
    for node, value in nodes.items():
        node._rename(_label(cell, found, value))
    results = iter(tidy(graph, sizes))
    new, applied = (tuple(itertools.islice(results, n)) for n in (n_states, len(outputs) - n_states))
    gradients = dict(zip(keys[: len(values)], results, strict=True))
    return Traced(cell, sizes, pointwise, products, found.hoisted, operands, graph, nodes, new, applied, gradients)


def _label(cell: Cell, found: _Found, value: Value) -> str:
    kind, k = value
    if kind == "gate":
        own = len(cell.gate_names)
        return f"x_{cell.gate_names[k]}" if k < own else "_".join((*found.hoisted[k - own], "raw"))
    if kind in ("old", "d_new"):
        return f"{'s' if kind == 'old' else 'd'}_{cell.states[k]}"
    if kind == "sum":
        return f"{found.products[k].key}_{found.products[k].name}"
    declarations = {"vector": Vector, "extra": Extra, "noise": Noise}
    if kind in declarations:
        return "_".join(cell.entries(declarations[kind])[k][:2])
    return "x_raw" if kind == "raw" else f"d_operand_{k}"
