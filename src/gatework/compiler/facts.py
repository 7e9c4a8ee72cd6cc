"""What a launch must know of a kernel beside its code; kept next to it as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gatework.cells import sizes
from gatework.cells.cell import Cell
from gatework.cells.declarations import Extra, Matrix, Vector
from gatework.compiler.graph import size_of
from gatework.compiler.hoisting import Hoisted
from gatework.compiler.plan import Plan
from gatework.compiler.render.staged import StagedSource
from gatework.compiler.stages import Staged
from gatework.compiler.weights import matrix_names, matrix_parameter


@dataclass(frozen=True)
class Facts:
    """What a launch must know of a kernel.

    Attributes:
        products: of each recurrent product its parameter's name, its position in it and its operand's state.
        vectors: of each vector its parameter's name and row.
        saved: values of [N, H] that forward leaves for backward.
        extras: further inputs of each step, by declaration and name.
        hoisted: products of the raw input, whose matrices a call puts below those of the gates.
        own_gates: the cell has gates of its own.
        same: the step needs I = H.
    """

    products: tuple[tuple[str, str, int, int], ...]
    vectors: tuple[tuple[str, int], ...]
    saved: int
    extras: tuple[str, ...] = ()
    hoisted: Hoisted = ()
    own_gates: bool = True
    same: bool = False

    @classmethod
    def of(cls, plan: Plan) -> Facts:
        """The facts of a plan."""
        cell = plan.cell
        products = tuple(
            (*matrix_parameter(cell, p.key), matrix_names(cell, p.key).index(p.name), p.operand) for p in plan.products
        )
        vectors = tuple((key, cell.declared[key].names.index(name)) for key, name in plan.vectors)
        extras = tuple(f"{key}.{name}" for key, name, _ in cell.entries(Extra))
        return cls(
            products,
            vectors,
            len(plan.saved),
            extras,
            _hoisted(cell, plan.hoisted),
            bool(cell.gate_names),
            plan.same,
        )

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> Facts:
        """Read what `to_json` wrote."""
        rows: dict[str, Any] = {k: tuple(map(tuple, value[k])) for k in ("products", "vectors", "hoisted")}
        return cls(
            rows["products"],
            rows["vectors"],
            value["saved"],
            tuple(value["extras"]),
            rows["hoisted"],
            value["own_gates"],
            value["same"],
        )

    def to_json(self) -> str:
        """As text."""
        return json.dumps({"staged": False, **asdict(self)})


@dataclass(frozen=True)
class Applied:
    """A product of a staged kernel.

    Attributes:
        weight, bias: names of its parameters.
        block: its position in them.
        rows, columns, heads: its sizes.
    """

    weight: str
    bias: str
    block: int
    rows: str
    columns: str
    heads: str


@dataclass(frozen=True, eq=False)
class StagedFacts:
    """What a launch must know of a staged kernel; sizes are formulas of H and I.

    Attributes:
        products: in the kernel's order.
        gates, states, saved: sizes.
        vectors: of each vector its parameter's name, its row in it and its size.
        extras: further inputs of each step, by declaration and name.
        hoisted: products of the raw input, whose matrices a call puts below those of the gates.
        own_gates: the cell has gates of its own.
        same: the step needs I = H.
        raw: the step reads the input itself.
    """

    products: tuple[Applied, ...]
    gates: tuple[str, ...]
    states: tuple[str, ...]
    saved: tuple[str, ...]
    vectors: tuple[tuple[str, int, str], ...]
    extras: tuple[str, ...]
    hoisted: Hoisted
    own_gates: bool
    same: bool
    raw: bool

    @classmethod
    def of(cls, plan: Staged) -> StagedFacts:
        """The facts of a plan."""
        cell, source, traced = plan.cell, StagedSource(plan), plan.traced

        def formula(size: int) -> str:
            return traced.sizes.formula(size).replace("/", "//")

        products = []
        for j in source.order:
            p = plan.products[j]
            declared = cell.declared[p.key]
            assert isinstance(declared, Matrix)
            measured = (cell.measure(s, traced.sizes.hidden, traced.sizes.input) for s in _matrix_sizes(declared))
            names, block = matrix_parameter(cell, p.key), matrix_names(cell, p.key).index(p.name)
            products.append(Applied(*names, block, *map(formula, measured)))
        vectors = []
        for key, name, declared in cell.entries(Vector):
            size = cell.measure(declared.size, traced.sizes.hidden, traced.sizes.input)
            vectors.append((key, declared.names.index(name), formula(size)))
        gates = range(len(cell.gate_names) + len(traced.hoisted))
        return cls(
            products=tuple(products),
            gates=tuple(formula(size_of(plan.placeholders["gate", k])) for k in gates),
            states=tuple(formula(size_of(plan.placeholders["old", k])) for k in range(len(cell.states))),
            saved=tuple(formula(size_of(n)) for n in plan.saved),
            vectors=tuple(vectors),
            extras=tuple(f"{key}.{name}" for key, name, _ in cell.entries(Extra)),
            hoisted=_hoisted(cell, traced.hoisted),
            own_gates=bool(cell.gate_names),
            same=plan.same,
            raw=source.reads_raw,
        )

    @classmethod
    def of_json(cls, value: Mapping[str, Any]) -> StagedFacts:
        """Read what `to_json` wrote."""
        fields: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in value.items() if key != "staged"
        }
        products = tuple(Applied(**row) for row in value["products"])
        fields["hoisted"] = tuple(tuple(row) for row in value["hoisted"])
        return cls(**{**fields, "products": products, "vectors": tuple(tuple(row) for row in value["vectors"])})

    def to_json(self) -> str:
        """As text."""
        return json.dumps({"staged": True, **asdict(self)})

    def hidden_size(self, widths: tuple[int, ...]) -> int:
        """H, from the widths of the states."""
        return widths[self.states.index("H")]


def _hoisted(cell: Cell, hoisted: tuple[tuple[str, str], ...]) -> Hoisted:
    return tuple(
        (*matrix_parameter(cell, key), matrix_names(cell, key).index(name), len(matrix_names(cell, key)))
        for key, name in hoisted
    )


def _matrix_sizes(declared: Matrix) -> tuple[sizes.Size, sizes.Size, sizes.Size]:
    return declared.rows, declared.columns, declared.heads


def facts_of(plan: Plan | Staged) -> Facts | StagedFacts:
    """The facts of a plan."""
    return StagedFacts.of(plan) if isinstance(plan, Staged) else Facts.of(plan)


def facts_from_json(text: str) -> Facts | StagedFacts:
    """Read what `to_json` wrote."""
    value = json.loads(text)
    return StagedFacts.of_json(value) if value["staged"] else Facts.of_json(value)
