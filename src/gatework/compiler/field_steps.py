"""All time steps of a cell over a field, forward and backward: convolutions by PyTorch, the rest by a field kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gatework.compiler.convolution import Convolution
from gatework.compiler.field import FieldJob, FieldStep, image_of, rows_of


@dataclass(frozen=True, eq=False)
class _States:
    """One state at every time step, rows [n, P, C] of the images that run, and where each step finds the one before.

    `memory` holds all packed images; with the initial state beside them where no sequence is padded, so that the states
    before each step lie in one piece; or only the last two steps, where nothing else is asked for.
    """

    job: FieldJob
    initial: Tensor
    memory: Tensor
    kept: bool

    @classmethod
    def make(cls, job: FieldJob, initial: Tensor, kept: bool) -> _States:
        """Room for a state's steps after [B, P, C]."""
        B, N = job.batch_sizes[0], sum(job.batch_sizes)
        images = 2 * B if not kept else N + B * job.dense
        states = cls(job, initial, initial.new_empty((images, *initial.shape[1:])), kept)
        if kept and job.dense:
            (states.memory[N:] if job.reverse else states.memory[:B]).copy_(initial)
        return states

    @property
    def rows(self) -> Tensor:
        """[N, P, C]: the state after each packed image."""
        return self.memory[self.job.batch_sizes[0] :] if self.job.dense and not self.job.reverse else self._rest()

    def _rest(self) -> Tensor:
        return self.memory[: sum(self.job.batch_sizes)]

    def new(self, k: int) -> Tensor:
        """The state after the k-th step."""
        first, n = self.job.steps[k]
        return self.rows[first : first + n] if self.kept else self.memory[self.job.batch_sizes[0] * (k % 2) :][:n]

    def old(self, k: int) -> Tensor:
        """The state before the k-th step: sequences have ended, or begin where time runs backwards."""
        n = self.job.steps[k][1]
        if not k:
            return self.initial[:n]
        before = self.new(k - 1)
        return before[:n] if n <= len(before) else torch.cat([before, self.initial[len(before) : n]])

    def final(self) -> Tensor:
        """[B, P, C]: the state after each sequence's last step."""
        last = len(self.job.steps) - 1
        parts = [self.new(last)]
        if not self.job.reverse:
            parts += [self.new(k)[self.job.steps[k + 1][1] :] for k in range(last - 1, -1, -1)]
        return torch.cat([*parts, self.initial[sum(len(p) for p in parts) :]])

    def previous(self) -> Tensor:
        """[N, P, C]: the state before each packed image."""
        if self.job.dense:
            return self.memory[self.job.batch_sizes[0] :] if self.job.reverse else self._rest()
        olds = [self.old(k) for k in range(len(self.job.steps))]
        return torch.cat(olds[::-1] if self.job.reverse else olds)


@dataclass(frozen=True, eq=False)
class _Weights:
    """The recurrent convolutions, one for each operand, and the vectors [V, 1 or P, C]."""

    convolutions: tuple[Convolution, ...]
    vectors: Tensor

    @classmethod
    def of(cls, tensors: Sequence[Tensor | None]) -> _Weights:
        """From one row: weights, as many biases, vectors."""
        *convolutions, vectors = tensors
        n = len(convolutions) // 2
        assert vectors is not None
        pairs = zip(convolutions[:n], convolutions[n:], strict=True)
        return cls(tuple(Convolution(w, b) for w, b in pairs if w is not None), vectors.contiguous())


def forward(
    job: FieldJob, gates: Tensor, states: Sequence[Tensor], w: _Weights, train: bool
) -> tuple[list[_States], Tensor | None]:
    """Run all steps; gates are rows [N, P, G * C], states [B, P, C].  Returns the states and what backward needs."""
    facts, C = job.kernel.facts, states[0].shape[2]
    all_states = [_States.make(job, s, train or k == 0) for k, s in enumerate(states)]
    saved = gates.new_empty((*gates.shape[:2], facts.saved * C)) if train else None
    step = FieldStep(job, C, w.vectors)
    for k, (first, n) in enumerate(job.steps):
        olds = [s.old(k) for s in all_states]
        sums = []
        for group, run_one in zip(facts.operands, w.convolutions, strict=True):
            if not k and job.zero_start:  # the bias alone, as one row for all positions
                row = gates.new_zeros(len(run_one.weight)) if run_one.bias is None else run_one.bias
                sums.append(row.expand(1, gates.shape[1], -1))
            else:
                sums.append(rows_of(run_one(image_of(olds[group[0]], job.spatial))))
            step.products("sum", group, sums[-1], C)
        step.point("gate", gates[first])
        step.point("saved", None if saved is None else saved[first])
        for s, (states_s, old) in enumerate(zip(all_states, olds, strict=True)):
            step.point("old", old, s)
            step.point("fresh", states_s.new(k), s)
        step.run(job.kernel.forward, n)
    return all_states, saved


class _Backward:
    """Backward through all steps: the gradients of gates, products, initial states and vectors."""

    def __init__(self, job: FieldJob, states: Sequence[_States], saved: Tensor, w: _Weights) -> None:
        self.job, self.states, self.saved, self.w = job, states, saved, w
        facts, (N, P, _), C = job.kernel.facts, saved.shape, states[0].initial.shape[2]
        self.C, self.groups = C, facts.operands
        self.step = FieldStep(job, C, w.vectors)
        self.d_gates = saved.new_empty((N, P, job.kernel.gates * C))
        self.d_sums = [self.d_gates if facts.shared else saved.new_empty((N, P, n * C)) for _, _, n in self.groups]
        places = w.vectors.shape[1]
        self.d_vectors = saved.new_zeros((torch.get_num_threads() if places == 1 else places, len(w.vectors), C))

    def run(self, gy: Tensor | None, finals: Sequence[Tensor | None], initial_wanted: bool) -> list[Tensor]:
        """All steps, last one first; gy is [N, P, C], finals [B, P, C].  Returns the initial states' gradients."""
        carry = [
            torch.zeros_like(s.initial) if f is None else f.clone(memory_format=torch.contiguous_format)
            for s, f in zip(self.states, finals, strict=True)
        ]
        links: dict[int, Tensor] = {}
        for k in range(len(self.job.steps) - 1, -1, -1):
            self._one(k, gy, carry, links)
            n = self.job.steps[k][1]
            for state, link in links.items():  # sequences whose first step was the one after
                carry[state][n:][: max(0, len(link) - n)] += link[n:]
            links = self._links(k) if k or (initial_wanted and not self.job.zero_start) else {}
        for state, link in links.items():
            carry[state][: len(link)] += link
        return carry

    def _one(self, k: int, gy: Tensor | None, carry: Sequence[Tensor], links: dict[int, Tensor]) -> None:
        first, n = self.job.steps[k]
        step = self.step
        olds = [s.old(k) for s in self.states]  # some are made for this step
        for s, (states_s, old) in enumerate(zip(self.states, olds, strict=True)):
            step.point("old", old, s)
            step.point("fresh", states_s.new(k), s)
            step.point("carry", carry[s], s)
            step.point("link", links.get(s), s)
            step.put("linked", len(links[s]) if s in links else 0, s)
        step.point("saved", self.saved[first])
        step.point("gy", None if gy is None else gy[first])
        step.point("d_gate", self.d_gates[first])
        for group, d_sum in zip(self.groups, self.d_sums, strict=True):
            if d_sum is not self.d_gates:
                step.products("d_sum", group, d_sum[first:], self.C)
        step.point("d_vectors", self.d_vectors)
        step.run(self.job.kernel.backward, n)

    def _links(self, k: int) -> dict[int, Tensor]:
        """What the products of the k-th step give back to the states before it."""
        first, n = self.job.steps[k]
        found = {}
        for (state, _, _), run_one, d_sum in zip(self.groups, self.w.convolutions, self.d_sums, strict=True):
            d, old = (
                image_of(d_sum[first : first + n], self.job.spatial),
                image_of(self.states[state].new(k), self.job.spatial),
            )
            found[state] = rows_of(run_one.back(d, old))
        return found

    def weights(self) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """Gradients of all weights and biases: one convolution over all steps for each operand."""
        spatial, found = self.job.spatial, []
        for (state, _, _), run_one, d_sum in zip(self.groups, self.w.convolutions, self.d_sums, strict=True):
            d, previous = d_sum, self.states[state].previous()
            first, n = self.job.steps[0]
            skip = self.job.zero_start and self.job.dense and len(self.job.steps) > 1
            if skip:  # nothing but the bias had a part in the first step
                rest = slice(0, first) if self.job.reverse else slice(first + n, None)
                d, previous = d[rest], previous[rest]
            of_weight, of_bias = run_one.weight_gradients(image_of(d, spatial), image_of(previous, spatial))
            if skip and of_bias is not None:
                of_bias = of_bias + d_sum[first : first + n].sum((0, 1))
            found.append((of_weight, of_bias))
        return [w for w, _ in found], [b for _, b in found]

    def vectors(self) -> Tensor:
        """Gradients of the vectors [V, 1 or P, C]."""
        if self.w.vectors.shape[1] == 1:
            return self.d_vectors.sum(0).unsqueeze(1)
        return self.d_vectors.transpose(0, 1)


class _Recur(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, job: FieldJob, n_states: int, gates: Tensor, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        w = _Weights.of(tensors[n_states:])
        initial = [s.contiguous() for s in tensors[:n_states] if s is not None]
        states, saved = forward(job, rows_of(gates), initial, w, True)
        ctx.job, ctx.n_states = job, n_states
        ctx.save_for_backward(saved, *initial, *(s.memory for s in states), *tensors[n_states:])
        ctx.set_materialize_grads(False)
        # y is a view of its own: the object that is returned must not be one that backward holds
        return states[0].rows.view(-1, *initial[0].shape[1:]), *(s.final() for s in states)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gy: Tensor | None, *finals: Tensor | None) -> tuple[Any, ...]:
        n, (saved, *tensors) = ctx.n_states, ctx.saved_tensors
        states = [_States(ctx.job, i, m, True) for i, m in zip(tensors[:n], tensors[n : 2 * n], strict=True)]
        steps = _Backward(ctx.job, states, saved, _Weights.of(tensors[2 * n :]))
        needs = ctx.needs_input_grad[3:]
        d_states = steps.run(None if gy is None else gy.contiguous(), finals, any(needs[:n]))
        groups = len(steps.groups)
        d_weights, d_biases = steps.weights() if any(needs[n:-1]) else ([None] * groups, [None] * groups)
        return None, None, image_of(steps.d_gates, ctx.job.spatial), *d_states, *d_weights, *d_biases, steps.vectors()


def run(
    job: FieldJob,
    gates: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    vectors: Tensor,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a field kernel over packed sequences, with autograd.

    Args:
        job: the kernel and the sequences' lengths.
        gates: input products of all packed images [N, G * C, *spatial].
        states: initial states by falling length, each [B, P, C] with P positions.
        weights: of each operand's convolution, [n * C, C, *kernel].
        biases: of each, [n * C] or None.
        vectors: [V, 1, C], or [V, P, C] where each position has its own.

    Returns:
        outputs [N, P, C] and the final states, each [B, P, C].
    """
    tensors = (*states, *weights, *biases, vectors)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (gates, *tensors)):
        y, *finals = _Recur.apply(job, len(states), gates, *tensors)  # type: ignore[no-untyped-call]
        return y, tuple(finals)
    w = _Weights.of((*weights, *biases, vectors))
    found, _ = forward(job, rows_of(gates), [s.contiguous() for s in states], w, False)
    return found[0].rows, tuple(s.final() for s in found)
