"""Which cells are the LSTM, GRU or RNN of the ONNX standard: told from their equations, not from their names.

A cell matches when its traced step is, up to the order of sums and products, an equation of `STANDARDS`. Every runtime
has fast kernels for these nodes. A projected state (LSTMP) feeds back into the gates, and the standard node has no
place for that; it is written as a Scan like every other cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from gatework.compiler.graph import op_name
from gatework.export.products import product
from gatework.export.step import Step

Form = tuple[Any, ...]
H, C = ("state", 0), ("state", 1)


def _sum(*terms: Form) -> Form:
    return ("add", *terms)


def _times(*factors: Form) -> Form:
    return ("mul", *factors)


def _gate(name: str, function: str = "sigmoid", *more: Form) -> Form:
    return (function, _sum(("gate", name), ("product", H, name), *more))


def _rest(gate: Form) -> Form:
    """1 - gate."""
    return _sum(("number", 1.0), ("neg", gate))


def _lstm(peephole: bool, coupled: str = "") -> tuple[Form, ...]:
    """New h and c; `coupled` names the gate that is learned where i + f = 1."""

    def see(gate: str, cell: Form) -> tuple[Form, ...]:
        return (_times(("vector", gate), cell),) if peephole else ()

    i, f = (_gate(gate, "sigmoid", *see(gate, C)) for gate in "if")
    i, f = {"": (i, f), "i": (i, _rest(i)), "f": (_rest(f), f)}[coupled]
    c = _sum(_times(f, C), _times(i, _gate("c", "tanh")))
    return _times(_gate("o", "sigmoid", *see("o", c)), ("tanh", c)), c


def _gru(reset_after: bool) -> tuple[Form, ...]:
    z, r = _gate("z"), _gate("r")
    read = _times(r, ("product", H, "h")) if reset_after else ("product", _times(r, H), "h")
    return (_sum(_times(_rest(z), ("tanh", _sum(("gate", "h"), read))), _times(z, H)),)


@dataclass(frozen=True)
class Standard:
    """A node of the ONNX standard.

    Attributes:
        kind: "LSTM", "GRU" or "RNN".
        gates: ONNX's names and order of them.
        equations: the new states.
        attributes: of the node.
        negated: (gate, its source) where ONNX wants the one gate of a coupled pair and the cell learns the other:
            1 - sigmoid(a) = sigmoid(-a).
    """

    kind: str
    gates: str
    equations: tuple[Form, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    negated: tuple[str, str] | None = None


STANDARDS = (
    Standard("LSTM", "iofc", _lstm(False)),
    Standard("LSTM", "iofc", _lstm(True)),
    *(
        Standard("LSTM", "iofc", _lstm(peephole, coupled), {"input_forget": 1}, ("i", "f") if coupled == "f" else None)
        for peephole in (False, True)
        for coupled in "if"
    ),
    Standard("GRU", "zrh", _gru(True), {"linear_before_reset": 1}),
    Standard("GRU", "zrh", _gru(False), {"linear_before_reset": 0}),
    Standard("RNN", "i", (_gate("i", "tanh"),), {"activations": ["Tanh"]}),
    Standard("RNN", "i", (_gate("i", "relu"),), {"activations": ["Relu"]}),
)


@dataclass(frozen=True)
class Match:
    """A cell as a standard node, with its weights as that node orders them.

    Attributes:
        standard: the node.
        gates: the cell's own gate for each of the node's; None where a coupled pair leaves one out.
        matrices, biases, vectors: of each of the node's gates: [H, H], [H], [H]; None where there is none.
    """

    standard: Standard
    gates: tuple[int | None, ...]
    matrices: tuple[Tensor | None, ...]
    biases: tuple[Tensor | None, ...]
    vectors: tuple[Tensor | None, ...]

    def arranged(self, rows: Sequence[Tensor | None], like: Tensor) -> Tensor:
        """One value a gate, stacked in the node's order; zero where there is none, negated where that is wanted."""
        by_gate = dict(zip(self.standard.gates, rows, strict=True))
        if self.standard.negated is not None:
            wanted, source = self.standard.negated
            value = by_gate[source]
            by_gate |= {source: None, wanted: None if value is None else -value}
        return torch.cat([torch.zeros_like(like) if value is None else value for value in by_gate.values()])


def recognise(step: Step, roles: Sequence[tuple[str, int]]) -> Match | None:
    """The standard node that a traced step is, or None.

    Args:
        step: the trace.
        roles: of each of its leaves: ("gate", k), ("state", k), or anything else, which no standard node takes.
    """
    leaves = dict(zip(step.leaves, roles, strict=True))
    forms = tuple(_form(step, node, leaves) for node in step.results)
    for standard in STANDARDS:
        if len(standard.equations) == len(forms):
            bound = next(_unify(("states", *standard.equations), ("states", *forms), {}), None)
            if bound is not None:
                return _matched(step, standard, bound)
    return None


def _matched(step: Step, standard: Standard, bound: Mapping[Form, Any]) -> Match:
    products = [product(step, bound["product", g]) if ("product", g) in bound else None for g in standard.gates]
    return Match(
        standard,
        tuple(bound.get(("gate", g)) for g in standard.gates),
        tuple(None if p is None else p.weight.t() for p in products),
        tuple(None if p is None else p.bias for p in products),
        tuple(step.constants[bound["vector", g]] if ("vector", g) in bound else None for g in standard.gates),
    )


def _form(step: Step, node: Any, leaves: Mapping[Node, tuple[str, int]]) -> Form:
    """A value as an expression: sums and products of any number of terms, differences as sums."""
    if not isinstance(node, Node):
        return ("number", float(node)) if isinstance(node, int | float) else ("other", repr(node))
    if node in leaves:
        return leaves[node]
    if node in step.constants:
        value = step.constants[node]
        return ("number", float(value)) if value.numel() == 1 else ("constant", node)
    found = product(step, node)
    if found is not None:
        return ("product", _form(step, found.operand, leaves), node)
    kind = op_name(node)
    parts = [_form(step, argument, leaves) for argument in node.args] if kind in _PLAIN else []
    if node.kwargs or not parts:
        return ("other", node)
    if kind in ("add", "sub"):
        second = parts[1] if kind == "add" else ("neg", parts[1])
        return _flat("add", parts[0], second)
    return _flat("mul", *parts) if kind == "mul" else (kind, *parts)


_PLAIN = {"add", "sub", "mul", "neg", "sigmoid", "tanh", "relu"}


def _flat(kind: str, *parts: Form) -> Form:
    return (kind, *itertools.chain.from_iterable(p[1:] if p[0] == kind else (p,) for p in parts))


def _unify(pattern: Form, form: Form, bound: dict[Form, Any]) -> Iterator[dict[Form, Any]]:
    """Every way to read `form` as `pattern`: which gate, product and vector stands for which."""
    if pattern[0] in ("gate", "vector", "product"):
        kind = {"vector": "constant"}.get(pattern[0], pattern[0])
        if form[0] != kind:
            return
        key, value = (pattern[0], pattern[-1]), form[-1]
        if bound.get(key, value) != value or any(k[0] == key[0] and k != key and v == value for k, v in bound.items()):
            return
        bound = bound | {key: value}
        yield from _unify(pattern[1], form[1], bound) if pattern[0] == "product" else (bound,)
    elif pattern[0] in ("state", "number"):
        if pattern == form:
            yield bound
    elif pattern[0] == form[0] and len(pattern) == len(form):
        orders = itertools.permutations(form[1:]) if pattern[0] in ("add", "mul") else (form[1:],)
        for order in orders:
            yield from _all(pattern[1:], order, bound)


def _all(patterns: Sequence[Form], forms: Sequence[Form], bound: dict[Form, Any]) -> Iterator[dict[Form, Any]]:
    if not patterns:
        yield bound
        return
    for first in _unify(patterns[0], forms[0], bound):
        yield from _all(patterns[1:], forms[1:], first)
