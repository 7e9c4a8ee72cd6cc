"""All time steps of a cell over a field, forward and backward: convolutions, and a field kernel between them.

The input's convolution and the gradients of all weights are taken for several steps at once, as many as stay in the
caches; larger blocks would also cost fresh memory in every call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gatework.compiler.convolution import Convolution, channels_last
from gatework.compiler.field import FieldJob, FieldStep, image_of, rows_of
from gatework.compiler.field_states import Block, Given, Results, States, blocks_of


class _Run:
    """What forward and backward have in common."""

    def __init__(self, job: FieldJob, given: Given) -> None:
        self.job, self.given, self.spatial = job, given, job.spatial
        self.C, self.P = given.states[0].shape[2], given.states[0].shape[1]
        self.G, self.groups = job.kernel.gates, job.kernel.facts.operands
        self.x = channels_last(given.x)
        self.input = Convolution(given.weight, given.bias)
        pairs = zip(given.weights, given.biases, strict=True)
        self.recurrent = [Convolution(weight, bias) for weight, bias in pairs]
        self.vectors = given.vectors.contiguous()
        self.initial = [s.contiguous() for s in given.states]
        self.blocks = blocks_of(job, self.P * self.G * self.C * self.x.itemsize)
        self.step = FieldStep(job, self.C, self.vectors)

    def point_at_states(self, k: int, states: Sequence[States]) -> list[Tensor]:
        """Point at the states before and after the k-th step; returns the former, which the caller keeps."""
        olds = [s.old(k) for s in states]
        for i, (state, old) in enumerate(zip(states, olds, strict=True)):
            self.step.point("old", old, i)
            self.step.point("fresh", state.new(k), i)
        return olds


class _Forward(_Run):
    """All steps; `states` and, to train, `saved` for each block."""

    def __init__(self, job: FieldJob, given: Given, train: bool) -> None:
        super().__init__(job, given)
        kinds = ["whole", *["blocks" if train else "last"] * (len(given.states) - 1)]
        self.states = [States(job, self.blocks, s, kind) for s, kind in zip(self.initial, kinds, strict=True)]
        self.saved: list[Tensor] = []
        for block in self.blocks:
            gates = rows_of(self.input(self.x[block.first : block.end]))
            if train:
                self.saved.append(gates.new_empty((len(gates), self.P, job.kernel.facts.saved * self.C)))
            for k in range(block.first_step, block.end_step):
                at = job.steps[k][0] - block.first
                self.step.point("gate", gates[at])
                self.step.point("saved", self.saved[-1][at] if train else None)
                self._one(k)

    def _one(self, k: int) -> None:
        olds, sums = self.point_at_states(k, self.states), []
        for group, recurrent in zip(self.groups, self.recurrent, strict=True):
            if not k and self.job.zero_start:  # the bias alone: rows without a distance between them
                row = self.x.new_zeros(len(recurrent.weight)) if recurrent.bias is None else recurrent.bias
                sums.append(row.expand(2, -1))
            else:
                sums.append(rows_of(recurrent(image_of(olds[group[0]], self.spatial))))
            self.step.products("sum", group, sums[-1], self.C)
        self.step.run(self.job.kernel.forward, self.job.steps[k][1])


class _Backward(_Run):
    """Backward through all steps, last one first."""

    def __init__(
        self, job: FieldJob, given: Given, memory: Sequence[Sequence[Tensor]], saved: Sequence[Tensor]
    ) -> None:
        super().__init__(job, given)
        kinds = ["whole", *["blocks"] * (len(given.states) - 1)]
        self.states = [
            States(job, self.blocks, s, kind, m) for s, kind, m in zip(self.initial, kinds, memory, strict=True)
        ]
        self.saved = saved
        places = self.vectors.shape[1]
        parts = torch.get_num_threads() if places == 1 else places
        self._d_vectors = self.x.new_zeros((parts, len(self.vectors), self.C))
        self._totals: dict[int, list[Tensor | None]] = {}
        self._carry: list[Tensor] = []  # gradients of each state, and what later products add to them
        self._links: dict[int, Tensor] = {}

    def run(
        self, gy: Tensor | None, finals: Sequence[Tensor | None], needs: Sequence[bool]
    ) -> tuple[Tensor | None, ...]:
        """Gradients in the order of `Given`, from those of the outputs [N, P, C] and the final states."""
        n_states, zero_start = len(self.states), self.job.zero_start
        self._carry = [
            torch.zeros_like(s) if f is None else f.clone(memory_format=torch.contiguous_format)
            for s, f in zip(self.initial, finals, strict=True)
        ]
        d_x = self.x.new_empty((len(self.x), *self.spatial, self.x.shape[1])) if needs[0] else None
        for block, saved in zip(self.blocks[::-1], self.saved[::-1], strict=True):
            n = block.end - block.first
            d_gates = saved.new_empty((n, self.P, self.G * self.C))
            shared = self.job.kernel.facts.shared
            d_sums = [d_gates if shared else saved.new_empty((n, self.P, m * self.C)) for _, _, m in self.groups]
            for k in range(block.end_step - 1, block.first_step - 1, -1):
                self._one(k, block, saved, gy, d_gates, d_sums)
                wanted = k or (any(needs[3 : 3 + n_states]) and not zero_start)
                self._links = self._given_back(k, block, d_sums) if wanted else {}
            self._weights(block, d_gates, d_sums)
            if d_x is not None:
                d = image_of(d_gates, self.spatial)
                of_x = self.input.back(d, self.x[block.first : block.end])
                d_x[block.first : block.end] = of_x.permute(0, *range(2, of_x.dim()), 1)
        for state, link in self._links.items():
            self._carry[state][: len(link)] += link
        d_vectors = (
            self._d_vectors.sum(0).unsqueeze(1) if self.vectors.shape[1] == 1 else self._d_vectors.transpose(0, 1)
        )
        (of_weight, of_bias), *others = [self._totals[g] for g in range(-1, len(self.groups))]
        d_image = None if d_x is None else d_x.permute(0, d_x.dim() - 1, *range(1, d_x.dim() - 1))
        return d_image, of_weight, of_bias, *self._carry, *(w for w, _ in others), *(b for _, b in others), d_vectors

    def _one(
        self,
        k: int,
        block: Block,
        saved: Tensor,
        gy: Tensor | None,
        d_gates: Tensor,
        d_sums: Sequence[Tensor],
    ) -> None:
        (first, n), step, carry, links = self.job.steps[k], self.step, self._carry, self._links
        at = first - block.first
        olds = self.point_at_states(k, self.states)  # some are made for this step
        for s in range(len(olds)):
            step.point("carry", carry[s], s)
            step.point("link", links.get(s), s)
            step.put("linked", len(links[s]) if s in links else 0, s)
        step.point("saved", saved[at])
        step.point("gy", None if gy is None else gy[first])
        step.point("d_gate", d_gates[at])
        for group, d_sum in zip(self.groups, d_sums, strict=True):
            if d_sum is not d_gates:
                step.products("d_sum", group, d_sum[at:], self.C)
        step.point("d_vectors", self._d_vectors)
        step.run(self.job.kernel.backward, n)
        for state, link in links.items():  # sequences whose first step was the one after
            carry[state][n:][: max(0, len(link) - n)] += link[n:]

    def _given_back(self, k: int, block: Block, d_sums: Sequence[Tensor]) -> dict[int, Tensor]:
        """What the products of the k-th step give back to the states before it."""
        first, n = self.job.steps[k]
        found, at = {}, first - block.first
        for (state, _, _), recurrent, d_sum in zip(self.groups, self.recurrent, d_sums, strict=True):
            like = image_of(self.states[state].new(k), self.spatial)
            found[state] = rows_of(recurrent.back(image_of(d_sum[at : at + n], self.spatial), like))
        return found

    def _weights(self, block: Block, d_gates: Tensor, d_sums: Sequence[Tensor]) -> None:
        """Add a block's part to the gradients of all weights and biases."""
        x = self.x[block.first : block.end]
        self._add(-1, *self.input.weight_gradients(image_of(d_gates, self.spatial), x))
        for g, ((state, _, _), recurrent, d_sum) in enumerate(zip(self.groups, self.recurrent, d_sums, strict=True)):
            if self.job.zero_start and not block.first_step:  # nothing but the bias had a part in the first step
                of_bias = None if recurrent.bias is None else d_sum.sum((0, 1))
                self._add(g, torch.zeros_like(recurrent.weight), of_bias)
            else:
                previous = image_of(self.states[state].previous(block), self.spatial)
                self._add(g, *recurrent.weight_gradients(image_of(d_sum, self.spatial), previous))

    def _add(self, group: int, of_weight: Tensor | None, of_bias: Tensor | None) -> None:
        totals = self._totals.setdefault(group, [None, None])
        for k, part in enumerate((of_weight, of_bias)):
            total = totals[k]
            totals[k] = part if total is None or part is None else total.add_(part)


class _Recur(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, job: FieldJob, again: Callable[[Given], Results], n: int, *flat: Any) -> tuple[Tensor, ...]:
        done = _Forward(job, Given.of(flat, n), True)
        y, *others = (s.memory for s in done.states)
        ctx.job, ctx.again, ctx.counts = job, again, (n, len(flat), len(done.saved))
        ctx.save_for_backward(*flat, *y, *(piece for pieces in others for piece in pieces), *done.saved)
        ctx.set_materialize_grads(False)
        # y is a view of its own: the object that is returned must not be one that backward holds
        return y[0].view(y[0].shape), *(s.final() for s in done.states)

    @staticmethod
    def backward(ctx: Any, gy: Tensor | None, *finals: Tensor | None) -> tuple[Any, ...]:
        n, n_flat, n_blocks = ctx.counts
        needs, flat, kept = ctx.needs_input_grad[3:], ctx.saved_tensors[:n_flat], ctx.saved_tensors[n_flat:]
        if torch.is_grad_enabled():  # somebody will differentiate these gradients
            return None, None, None, *_differentiable(ctx.again, flat, n, needs, (gy, *finals))
        pieces = [kept[1 + s * n_blocks :][:n_blocks] for s in range(n)]
        steps = _Backward(ctx.job, Given.of(flat, n), [kept[:1], *pieces[: n - 1]], pieces[n - 1])
        return None, None, None, *steps.run(None if gy is None else gy.contiguous(), finals, needs)


def _differentiable(
    again: Callable[[Given], Results],
    flat: Sequence[Tensor | None],
    n_states: int,
    needs: Sequence[bool],
    gradients: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Gradients as `_Recur.backward` returns them, with a graph of their own."""
    y, finals = again(Given.of(flat, n_states))
    pairs = [(r, g) for r, g in zip((y, *finals), gradients, strict=True) if g is not None and r.requires_grad]
    wanted = [t for t, need in zip(flat, needs, strict=True) if need and t is not None]
    found = iter(
        torch.autograd.grad([r for r, _ in pairs], wanted, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return [next(found) if need and t is not None else None for t, need in zip(flat, needs, strict=True)]


def run(job: FieldJob, given: Given, again: Callable[[Given], Results]) -> Results:
    """Run a field kernel over packed sequences, with autograd; `again` does the same by the reference.

    Returns:
        outputs [N, P, C] and the final states, each [B, P, C].
    """
    flat = given.flat()
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in flat):
        y, *finals = _Recur.apply(job, again, len(given.states), *flat)  # type: ignore[no-untyped-call]
        return y, tuple(finals)
    states = _Forward(job, given, False).states
    return states[0].memory[0], tuple(s.final() for s in states)
