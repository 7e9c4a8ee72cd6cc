"""All time steps of a cell over a field, forward and backward: convolutions by PyTorch, the rest by a field kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gatework.compiler.convolution import Convolution, channels_last
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
    def of(cls, given: Given) -> _Weights:
        """The recurrent part of what a run is given."""
        pairs = zip(given.weights, given.biases, strict=True)
        return cls(tuple(Convolution(w, b) for w, b in pairs), given.vectors.contiguous())


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
            if not k and job.zero_start:  # the bias alone: rows without a distance between them
                row = gates.new_zeros(len(run_one.weight)) if run_one.bias is None else run_one.bias
                sums.append(row.expand(2, -1))
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


@dataclass(frozen=True, eq=False)
class Given:
    """What a run over a field is given; a run by the reference takes the same.

    Attributes:
        x: all packed images [N, I, *spatial].
        weight, bias: of the input's convolution, [G * C, I, *kernel] and [G * C] or None.
        states: initial states by falling length, each [B, P, C] with P positions.
        weights, biases: of each operand's convolution, [n * C, C, *kernel] and [n * C] or None.
        vectors: [V, 1, C], or [V, P, C] where each position has its own.
    """

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    states: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor | None, ...]
    vectors: Tensor

    def flat(self) -> tuple[Tensor | None, ...]:
        """All tensors in one row."""
        return self.x, self.weight, self.bias, *self.states, *self.weights, *self.biases, self.vectors

    @classmethod
    def of(cls, flat: Sequence[Any], n_states: int) -> Given:
        """From what `flat` returned."""
        x, weight, bias, *rest, vectors = flat
        states, rest = rest[:n_states], rest[n_states:]
        n = len(rest) // 2
        return cls(x, weight, bias, tuple(states), tuple(rest[:n]), tuple(rest[n:]), vectors)


Results = tuple[Tensor, tuple[Tensor, ...]]


def _forward(job: FieldJob, given: Given, train: bool) -> tuple[list[_States], Tensor | None]:
    gates = rows_of(Convolution(given.weight, given.bias)(channels_last(given.x)))
    return forward(job, gates, [s.contiguous() for s in given.states], _Weights.of(given), train)


class _Recur(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, job: FieldJob, again: Callable[[Given], Results], n: int, *flat: Any) -> tuple[Tensor, ...]:
        states, saved = _forward(job, Given.of(flat, n), True)
        ctx.job, ctx.again, ctx.n_states, ctx.n_flat = job, again, n, len(flat)
        ctx.save_for_backward(*flat, *(s.memory for s in states), saved)
        ctx.set_materialize_grads(False)
        # y is a view of its own: the object that is returned must not be one that backward holds
        return states[0].rows.view(-1, *states[0].initial.shape[1:]), *(s.final() for s in states)

    @staticmethod
    def backward(ctx: Any, gy: Tensor | None, *finals: Tensor | None) -> tuple[Any, ...]:
        flat, (*memories, saved) = ctx.saved_tensors[: ctx.n_flat], ctx.saved_tensors[ctx.n_flat :]
        needs, n = ctx.needs_input_grad[3:], ctx.n_states
        if torch.is_grad_enabled():  # somebody will differentiate these gradients
            return None, None, None, *_differentiable(ctx.again, flat, n, needs, (gy, *finals))
        given = Given.of(flat, n)
        states = [_States(ctx.job, i.contiguous(), m, True) for i, m in zip(given.states, memories, strict=True)]
        steps = _Backward(ctx.job, states, saved, _Weights.of(given))
        d_states = steps.run(None if gy is None else gy.contiguous(), finals, any(needs[3 : 3 + n]))
        d_weights, d_biases = steps.weights()
        d, image, input_product = (
            image_of(steps.d_gates, ctx.job.spatial),
            channels_last(given.x),
            Convolution(given.weight, given.bias),
        )
        d_x = input_product.back(d, image) if needs[0] else None
        d_input = input_product.weight_gradients(d, image)
        return None, None, None, d_x, *d_input, *d_states, *d_weights, *d_biases, steps.vectors()


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
    found, _ = _forward(job, given, False)
    return found[0].rows, tuple(s.final() for s in found)
