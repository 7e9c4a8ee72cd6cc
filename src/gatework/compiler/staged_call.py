"""One call of a staged kernel: `call.forward` and `call.backward` for steps of several products and sizes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gatework.cells import sizes
from gatework.compiler.call import Call, Job, Sizes, Wanted, padded_size
from gatework.compiler.facts import Applied, StagedFacts
from gatework.compiler.render.staged import STAGED_CALL


@dataclass(frozen=True)
class Layout:
    """Measured sizes of a call, and where values begin in rows of memory; the last entry is the row's length.

    Attributes:
        H, I: the sizes that formulas are of.
        saved, slots, vectors: beginnings of what forward saves, of gradients, and of the vectors' gradients.
    """

    H: int
    I: int  # noqa: E741
    saved: tuple[int, ...]
    slots: tuple[int, ...]
    vectors: tuple[int, ...]

    @classmethod
    def of(cls, facts: StagedFacts, H: int, I: int, itemsize: int) -> Layout:  # noqa: E741
        """The layout for sizes H and I."""

        def beginnings(formulas: Sequence[str]) -> tuple[int, ...]:
            widths = (padded_size(_measure(f, H, I), itemsize) for f in formulas)
            return tuple(itertools.accumulate(widths, initial=0))

        return cls(H, I, *map(beginnings, (facts.saved, facts.slots, [size for _, _, size in facts.vectors])))

    def measure(self, formula: str) -> int:
        """A size in numbers."""
        return _measure(formula, self.H, self.I)


def _measure(formula: str, H: int, I: int) -> int:  # noqa: E741
    return sizes.evaluate(formula, {"H": H, "I": I}, "a kernel")


def _begin(
    job: Job, x: Tensor, states: Sequence[Tensor], params: Mapping[str, Tensor]
) -> tuple[StagedFacts, Layout, Sizes, Call]:
    facts = job.kernel.facts
    assert isinstance(facts, StagedFacts)
    H = facts.hidden_size(tuple(s.shape[1] for s in states))
    measured = Sizes.of(job, x, H)
    layout = Layout.of(facts, H, measured.I, x.element_size())
    call = Call(job, measured, states, STAGED_CALL)
    call.rows("x", x)
    if facts.gates:
        call.tensor("w_ih", params["weight_ih"])
        if "bias_ih" in params:
            call.tensor("b_ih", params["bias_ih"])
    for k, p in enumerate(facts.products):
        rows, columns = layout.measure(p.rows), layout.measure(p.columns) // layout.measure(p.heads)
        call.tensor("U", params[p.weight], k, p.block * rows * columns)
        if p.bias in params:
            call.tensor("b_hh", params[p.bias], k, p.block * rows)
    for k, (name, row, size) in enumerate(facts.vectors):
        call.tensor("vectors", params[name], k, row * layout.measure(size))
    return facts, layout, measured, call


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
    _, layout, measured, call = _begin(job, x, states, params)
    call.further(job, extra, seed)
    y = x.new_empty((*x.shape[:-1], states[0].shape[1]))
    finals = [x.new_empty(s.shape) for s in states]
    call.rows("y", y)
    for k, (state, final) in enumerate(zip(states, finals, strict=True)):
        call.tensor("first", state, k)
        call.tensor("last", final, k)
    kept = []
    if train:
        kept = [x.new_empty((measured.N, layout.saved[-1]))]
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
    facts, layout, measured, call = _begin(job, x, states, params)
    call.further(job, extra, seed)
    kept = results[1 + len(states)]
    call.tensor("saved", kept)
    slots = x.new_empty((measured.N, layout.slots[-1]))
    totals = x.new_empty((layout.slots[-1] + layout.vectors[-1],))
    call.tensor("slots", slots)
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
    d_extra: list[Tensor | None] = [torch.empty_like(e) if wanted.extra else None for e in extra.values()]
    for name, d in zip(extra, d_extra, strict=True):
        if d is not None:
            call.rows("d_extra", d, facts.extras.index(name))
    call.run(job.kernel.backward)
    d_params: list[Tensor | None] = [None] * len(params)
    if wanted.params:
        found = _Gradients(facts, layout, slots, kept, _tokens(job, x), totals).of(params)
        d_params = list(found.values())
    return dx, d_states, d_params, d_extra


def _tokens(job: Job, x: Tensor) -> Tensor:
    """The inputs as rows [N, I], in the order of the saved values."""
    if job.ragged is not None and job.ragged.packed:
        return x
    x = x.transpose(0, 1) if job.batch_first else x
    return x.reshape(-1, x.shape[-1]) if job.ragged is None else job.ragged.pack(x)


@dataclass(frozen=True)
class _Gradients:
    """Gradients of parameters as products of rows: what the kernel left in `slots` with what was applied to."""

    facts: StagedFacts
    layout: Layout
    slots: Tensor
    kept: Tensor
    tokens: Tensor
    totals: Tensor

    def of(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """By the names of `params`."""
        d = {name: torch.zeros_like(p) for name, p in params.items()}
        self._inputs(d)
        seen: set[tuple[str, int]] = set()
        for p in self.facts.products:
            self._product(p, d, (p.weight, p.block) in seen)
            seen.add((p.weight, p.block))
        begin = self.layout.slots[-1]
        for (name, row, formula), at in zip(self.facts.vectors, self.layout.vectors, strict=False):
            d[name][row] = self.totals[begin + at : begin + at + self.layout.measure(formula)]
        return d

    def _slot(self, k: int, size: int) -> tuple[Tensor, Tensor]:
        """Rows [N, size] of a gradient, and their sum."""
        at = self.layout.slots[k]
        return self.slots[:, at : at + size], self.totals[at : at + size]

    def _inputs(self, d: dict[str, Tensor]) -> None:
        row, gates = 0, [self.layout.measure(g) for g in self.facts.gates]
        k = 0
        while k < len(gates):  # gates whose gradients lie side by side are one product
            n = 1
            while (
                k + n < len(gates)
                and self.facts.gate_slots[k + n] == self.facts.gate_slots[k] + n
                and self.layout.slots[self.facts.gate_slots[k + n]]
                == self.layout.slots[self.facts.gate_slots[k]] + sum(gates[k : k + n])
            ):
                n += 1
            size = sum(gates[k : k + n])
            rows, total = self._slot(self.facts.gate_slots[k], size)
            torch.mm(rows.t(), self.tokens, out=d["weight_ih"][row : row + size])
            if "bias_ih" in d:
                d["bias_ih"][row : row + size] = total
            row, k = row + size, k + n

    def _product(self, p: Applied, d: dict[str, Tensor], again: bool) -> None:
        rows, columns, heads = (self.layout.measure(f) for f in (p.rows, p.columns, p.heads))
        slot, total = self._slot(p.slot, rows)
        at = self.layout.saved[p.operand] if p.operand >= 0 else 0
        operand = self.kept[:, at : at + columns] if p.operand >= 0 else self.tokens
        block = d[p.weight][p.block * rows : (p.block + 1) * rows]
        if heads == 1 and not again:
            torch.mm(slot.t(), operand, out=block)
        elif heads == 1:
            block.addmm_(slot.t(), operand)
        else:
            left, right = slot.unflatten(1, (heads, -1)), operand.unflatten(1, (heads, -1))
            block += torch.bmm(left.permute(1, 2, 0), right.transpose(0, 1)).flatten(0, 1)
        if p.bias in d:
            d[p.bias][p.block * rows : (p.block + 1) * rows] += total
