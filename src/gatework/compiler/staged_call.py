"""One call of a staged kernel: `call.forward` and `call.backward` for steps of several products and sizes."""

from __future__ import annotations

import itertools
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
    """A product in numbers: its parameters' names, where it begins in them, its rows, where its gradient lies."""

    weight: str
    bias: str
    first: int
    row: int
    rows: int
    slot: int


@dataclass(frozen=True)
class Layout:
    """Measured sizes of a kernel's calls, and where values begin in rows of memory.

    Attributes:
        saved, slots, vectors: lengths of rows of what forward saves, of gradients, and of the vectors' gradients.
        gates: input products whose gradients lie side by side: first row of the weight, rows, beginning of the gradient.
        products: in the kernel's order.
        entries: of each vector its parameter's name, its row there, its size and the beginning of its gradient.
    """

    saved: int
    slots: int
    vectors: int
    gates: tuple[tuple[int, int, int], ...]
    products: tuple[_Product, ...]
    entries: tuple[tuple[str, int, int, int], ...]


@lru_cache(maxsize=256)
def layout(facts: StagedFacts, H: int, I: int, itemsize: int) -> Layout:  # noqa: E741
    """The layout for sizes H and I."""

    def measure(formula: str) -> int:
        return sizes.evaluate(formula, {"H": H, "I": I}, "a kernel")

    def beginnings(formulas: Sequence[str]) -> list[int]:
        return list(itertools.accumulate((padded_size(measure(f), itemsize) for f in formulas), initial=0))

    saved, slots = beginnings(facts.saved), beginnings(facts.slots)
    vectors = beginnings([size for _, _, size in facts.vectors])
    gates: list[tuple[int, int, int]] = []
    row = 0
    for formula, slot in zip(facts.gates, facts.gate_slots, strict=True):
        size = measure(formula)
        if gates and slots[slot] == gates[-1][2] + gates[-1][1]:
            gates[-1] = (gates[-1][0], gates[-1][1] + size, gates[-1][2])
        else:
            gates.append((row, size, slots[slot]))
        row += size
    products: list[_Product] = []
    for p in facts.products:
        rows, columns, heads = measure(p.rows), measure(p.columns), measure(p.heads)
        begin = p.block * rows * columns // heads, p.block * rows
        products.append(_Product(p.weight, p.bias, *begin, rows, slots[p.slot]))
    entries = [(name, row, measure(f), at) for (name, row, f), at in zip(facts.vectors, vectors, strict=False)]
    return Layout(saved[-1], slots[-1], vectors[-1], tuple(gates), tuple(products), tuple(entries))


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
    for k, (name, row, size, _) in enumerate(planned.entries):
        call.tensor("vectors", params[name], k, row * size)
    return facts, planned, measured, call


def forward(
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    train: bool,
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
) -> list[Tensor]:
    """Outputs, final states and, to train, the saved values [N, sum of sizes]."""
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
    call.run(job.kernel.forward)
    return [y, *finals, *kept]


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
    facts, planned, measured, call = _begin(job, x, states, params)
    call.further(job, extra, seed)
    kept = results[1 + len(states)]
    call.tensor("saved", kept)
    totals = x.new_empty((planned.slots + planned.vectors,))
    call.tensor("totals", totals)
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
    d_params: dict[str, Tensor | None] = dict.fromkeys(params)
    if wanted.params:
        d_params |= _room(planned, params, call)
    call.run(job.kernel.backward)
    if wanted.params:
        _sums(planned, totals, d_params)
    return dx, d_states, list(d_params.values()), d_extra


def _room(planned: Layout, params: Mapping[str, Tensor], call: Call) -> dict[str, Tensor]:
    """Room for the gradients of the parameters, which the kernel writes where it is a matrix."""
    d = {name: torch.zeros_like(p) for name, p in params.items()}
    if planned.gates:
        call.tensor("dw_ih", d["weight_ih"])
    for k, p in enumerate(planned.products):
        call.tensor("dU", d[p.weight], k, p.first)
    return d


def _sums(planned: Layout, totals: Tensor, d: Mapping[str, Tensor | None]) -> None:
    """Gradients of biases and vectors out of the kernel's sums."""
    bias = d.get("bias_ih")
    if bias is not None:
        for row, size, at in planned.gates:
            bias[row : row + size] = totals[at : at + size]
    for p in planned.products:
        bias = d.get(p.bias)
        if bias is not None:
            bias[p.row : p.row + p.rows] += totals[p.slot : p.slot + p.rows]
    for name, row, size, at in planned.entries:
        d[name][row] = totals[planned.slots + at : planned.slots + at + size]  # type: ignore[index]
