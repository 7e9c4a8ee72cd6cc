"""One call of a staged kernel: `call.forward` and `call.backward` for steps of several products and sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from gatework.cells import sizes
from gatework.compiler.call import Call, Job, Sizes, Wanted, padded_size
from gatework.compiler.facts import StagedFacts
from gatework.compiler.render.staged import STAGED_CALL


@dataclass(frozen=True)
class _Product:
    """A product in numbers: its parameters' names, where it begins in them, its rows; whether it came before."""

    weight: str
    bias: str
    first: int
    row: int
    rows: int
    again: bool


@dataclass(frozen=True)
class Layout:
    """Measured sizes of a kernel's calls.

    Attributes:
        saved: length of a row of what forward saves.
        gates: whether there are input products.
        products: in the kernel's order.
        entries: of each vector its parameter's name, its row there and its size.
    """

    saved: int
    gates: bool
    products: tuple[_Product, ...]
    entries: tuple[tuple[str, int, int], ...]


@lru_cache(maxsize=256)
def layout(facts: StagedFacts, H: int, I: int, itemsize: int) -> Layout:  # noqa: E741
    """The layout for sizes H and I."""

    def measure(formula: str) -> int:
        return sizes.evaluate(formula, {"H": H, "I": I}, "a kernel")

    products: list[_Product] = []
    for p in facts.products:
        rows, columns, heads = measure(p.rows), measure(p.columns), measure(p.heads)
        again = any((q.weight, q.row) == (p.weight, p.block * rows) for q in products)
        products.append(_Product(p.weight, p.bias, p.block * rows * columns // heads, p.block * rows, rows, again))
    entries = tuple((name, row, measure(f)) for name, row, f in facts.vectors)
    saved = sum(padded_size(measure(f), itemsize) for f in facts.saved)
    return Layout(saved, bool(facts.gates), tuple(products), entries)


def _begin(
    job: Job, x: Tensor, states: Sequence[Tensor], params: Mapping[str, Tensor]
) -> tuple[StagedFacts, Layout, Sizes, Call]:
    facts = job.kernel.facts
    assert isinstance(facts, StagedFacts)
    H = facts.hidden_size(tuple(s.shape[1] for s in states))
    measured = Sizes.of(job, x, H)
    planned = layout(facts, H, measured.I, x.element_size())
    call = Call(job, measured, states, STAGED_CALL)
    call.rows("x", x)
    if facts.gates:
        call.tensor("w_ih", params["weight_ih"])
        if "bias_ih" in params:
            call.tensor("b_ih", params["bias_ih"])
    for k, p in enumerate(planned.products):
        call.tensor("U", params[p.weight], k, p.first)
        if p.bias in params:
            call.tensor("b_hh", params[p.bias], k, p.row)
    for k, (name, row, size) in enumerate(planned.entries):
        call.tensor("vectors", params[name], k, row * size)
    return facts, planned, measured, call


def prepare_forward(
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    train: bool,
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
) -> tuple[Call, list[Tensor]]:
    """The call of a forward, and what it will fill: outputs, final states and, to train, values [N, sum of sizes]."""
    _, planned, measured, call = _begin(job, x, states, params)
    call.further(job, extra, seed)
    y = x.new_empty((*x.shape[:-1], states[0].shape[1]))
    finals = [x.new_empty(s.shape) for s in states]
    call.rows("y", y)
    for k, (state, final) in enumerate(zip(states, finals, strict=True)):
        call.tensor("first", state, k)
        call.tensor("last", final, k)
    kept = []
    if train:
        kept = [x.new_empty((measured.N, planned.saved))]
        call.values[call.at["train"]] = 1
        call.tensor("saved", kept[0])
    return call, [y, *finals, *kept]


def backward(
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    results: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: Wanted,
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
) -> tuple[Tensor | None, list[Tensor | None], list[Tensor | None], list[Tensor | None]]:
    """Gradients of x, the states, the parameters and the extra inputs."""
    facts, planned, _, call = _begin(job, x, states, params)
    call.further(job, extra, seed)
    kept = results[1 + len(states)]
    call.tensor("saved", kept)
    if gradients[0] is not None:
        call.rows("gy", gradients[0])
    dx = None
    if wanted.x:
        dx = x.new_empty(x.shape) if facts.gates or facts.raw else x.new_zeros(x.shape)
        if facts.gates or facts.raw:
            call.rows("dx", dx)
    d_states: list[Tensor | None] = [x.new_empty(s.shape) if wanted.states else None for s in states]
    for k, (d_state, gradient) in enumerate(zip(d_states, gradients[1:], strict=True)):
        if gradient is not None:
            call.tensor("g_last", call.keep(gradient.contiguous()), k)
        if d_state is not None:
            call.tensor("d_first", d_state, k)
    d_extra: list[Tensor | None] = [e.new_empty(e.shape) if wanted.extra else None for e in extra.values()]
    for name, d in zip(extra, d_extra, strict=True):
        if d is not None:
            call.rows("d_extra", d, facts.extras.index(name))
    d_params: list[Tensor | None] = [None] * len(params)
    if wanted.params:
        d_params = _weight_gradients(planned, params, call)
    call.run(job.kernel.backward)
    return dx, d_states, d_params, d_extra


def _weight_gradients(planned: Layout, params: Mapping[str, Tensor], call: Call) -> list[Tensor | None]:
    """Make room for the gradients of all parameters and point the fields to it."""
    d = {name: torch.empty_like(p) for name, p in params.items()}
    left = {name: p.shape[0] for name, p in params.items()}  # rows that the kernel does not write
    for field, name in (("dw_ih", "weight_ih"), ("db_ih", "bias_ih")):
        if planned.gates and name in d:
            call.tensor(field, d[name])
            left[name] = 0
    for k, p in enumerate(planned.products):
        call.tensor("dU", d[p.weight], k, p.first)
        left[p.weight] -= p.rows * (not p.again)
        if p.bias in d:
            call.tensor("db_hh", d[p.bias], k, p.row)
            left[p.bias] -= p.rows * (not p.again)
    for k, (name, row, size) in enumerate(planned.entries):
        call.tensor("d_vectors", d[name], k, row * size)
        left[name] -= 1
    for name, rows in left.items():
        if rows:
            d[name].zero_()  # some of its matrices or vectors are never used by the step
    return list(d.values())
