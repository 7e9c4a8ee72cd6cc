"""Calls of compiled kernels: memory for results, autograd, and the same as `torch.library` operators."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from gatework.compiler.build import Kernel, loaded, machine
from gatework.compiler.ragged import Ragged
from gatework.compiler.render.cpp import CALL

_home = os.getpid()


@dataclass(frozen=True, eq=False)
class Job:
    """A kernel and how its inputs lie."""

    kernel: Kernel
    batch_first: bool
    reverse: bool
    ragged: Ragged | None


@dataclass(frozen=True)
class _Sizes:
    """Shape of one call: T steps of B rows (full_T with padding), N rows in all, and vectors of `lanes` numbers."""

    T: int
    full_T: int
    B: int
    N: int
    I: int  # noqa: E741
    H: int
    padded_H: int

    @classmethod
    def of(cls, job: Job, x: Tensor, H: int) -> _Sizes:
        lanes = machine().vector_bytes // x.element_size()
        ragged, padded_H = job.ragged, -(-H // lanes) * lanes
        if ragged is not None and ragged.packed:
            T = len(ragged.batch_sizes)
            return cls(T, T, ragged.batch_sizes[0], x.shape[0], x.shape[1], H, padded_H)
        B, full_T = x.shape[:2] if job.batch_first else (x.shape[1], x.shape[0])
        if ragged is None:
            return cls(full_T, full_T, B, full_T * B, x.shape[2], H, padded_H)
        return cls(len(ragged.batch_sizes), full_T, B, sum(ragged.batch_sizes), x.shape[2], H, padded_H)


@lru_cache(maxsize=256)
def _fields(products: int, vectors: int, states: int) -> tuple[dict[str, int], int]:
    """Position of each field in the call, and the call's length."""
    counts = {"": 1, "PRODUCTS": products + 1, "VECTORS": vectors + 1, "STATES": states + 1}
    positions, at = {}, 0
    for name, count in CALL:
        positions[name] = at
        at += counts[count]
    return positions, at


class _Call:
    """The struct that a kernel reads, and the tensors that it points to."""

    def __init__(self, job: Job, sizes: _Sizes, states: Sequence[Tensor]) -> None:
        facts, ragged = job.kernel.facts, job.ragged
        self.at, length = _fields(len(facts.products), len(facts.vectors), len(states))
        self.values = array("q", bytes(8 * length))
        self.alive: list[Any] = [ragged]
        self.layout = job.batch_first, ragged is not None and ragged.packed
        put, at = self.values, self.at
        put[at["T"]], put[at["full_T"]], put[at["B"]], put[at["N"]] = sizes.T, sizes.full_T, sizes.B, sizes.N
        put[at["I"]], put[at["H"]], put[at["reverse"]] = sizes.I, sizes.H, job.reverse
        put[at["threads"]] = torch.get_num_threads() if os.getpid() == _home else 1  # OpenMP does not survive a fork
        if ragged is not None:
            put[at["packed"]] = ragged.packed
            put[at["batch_sizes"]], put[at["offsets"]] = ragged.sizes.data_ptr(), ragged.offsets.data_ptr()
            put[at["lengths"]] = ragged.lengths.data_ptr()
            put[at["order"]] = ragged.order.data_ptr() if ragged.order is not None else 0

    def tensor(self, name: str, tensor: Tensor, k: int = 0, row: int = 0) -> None:
        """Point a field at a tensor, or at block `row` of the tensor's memory, in elements."""
        self.values[self.at[name] + k] = tensor.data_ptr() + row * tensor.element_size()
        self.alive.append(tensor)

    def rows(self, name: str, tensor: Tensor) -> None:
        """Point a field at sequences, with their strides."""
        if tensor.stride(-1) != 1 and tensor.shape[-1] > 1:
            tensor = tensor.contiguous()
        batch_first, packed = self.layout
        time, batch = (0, tensor.stride(0)) if packed else tensor.stride()[:2]
        if batch_first and not packed:
            time, batch = batch, time
        self.tensor(name, tensor)
        self.values[self.at[f"{name}_time"]], self.values[self.at[f"{name}_batch"]] = time, batch

    def weights(self, job: Job, params: Mapping[str, Tensor], H: int) -> None:
        """Point the fields of weights, biases and vectors."""
        self.tensor("w_ih", params["weight_ih"])
        if "bias_ih" in params:
            self.tensor("b_ih", params["bias_ih"])
        for k, (weight, bias, block, _) in enumerate(job.kernel.facts.products):
            self.tensor("U", params[weight], k, block * H * H)
            if bias in params:
                self.tensor("b_hh", params[bias], k, block * H)
        for k, (name, block) in enumerate(job.kernel.facts.vectors):
            self.tensor("vectors", params[name], k, block * H)

    def run(self, function: Any) -> None:
        """Call the kernel; raises MemoryError when it finds no room for its buffers."""
        if function(self.values.buffer_info()[0]):
            raise MemoryError("not enough memory for a kernel's buffers; use a smaller batch or shorter sequences.")


def _forward(job: Job, x: Tensor, states: Sequence[Tensor], params: Mapping[str, Tensor], train: bool) -> list[Tensor]:
    """Outputs, final states and, to train, what backward needs: saved values [N, S, H'], then state sequences [N, H']."""
    H = states[0].shape[1]
    sizes = _Sizes.of(job, x, H)
    call = _Call(job, sizes, states)
    y = x.new_empty((*x.shape[:-1], H))
    finals = [x.new_empty((sizes.B, H)) for _ in states]
    call.rows("x", x)
    call.rows("y", y)
    call.weights(job, params, H)
    for k, (state, final) in enumerate(zip(states, finals, strict=True)):
        call.tensor("first", state, k)
        call.tensor("last", final, k)
    kept = []
    if train:
        kept = [x.new_empty((sizes.N, job.kernel.facts.saved, sizes.padded_H))]
        kept += [x.new_empty((sizes.N, sizes.padded_H)) for _ in states[1:]]
        call.values[call.at["train"]] = 1
        call.tensor("saved", kept[0])
        for k, sequence in enumerate(kept[1:], 1):
            call.tensor("sequence", sequence, k)
    call.run(job.kernel.forward)
    return [y, *finals, *kept]


@dataclass(frozen=True)
class _Wanted:
    """Which gradients somebody asked for: of x, of any initial state, of any parameter."""

    x: bool
    states: bool
    params: bool


def _backward(
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    results: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: _Wanted,
) -> tuple[Tensor | None, list[Tensor | None], list[Tensor | None]]:
    """Gradients of x, of the states and of the parameters, from those of the outputs and final states."""
    H, facts = states[0].shape[1], job.kernel.facts
    sizes = _Sizes.of(job, x, H)
    call = _Call(job, sizes, states)
    y, kept = results[0], results[1 + len(states) :]
    call.rows("x", x)
    call.rows("y", y)
    call.weights(job, params, H)
    call.tensor("saved", kept[0])
    for k, sequence in enumerate(kept[1:], 1):
        call.tensor("sequence", sequence, k)
    if gradients[0] is not None:
        call.rows("gy", gradients[0])
    dx = x.new_empty(x.shape) if wanted.x else None
    if dx is not None:
        call.rows("dx", dx)
    d_states: list[Tensor | None] = [None] * len(states)
    for k, state in enumerate(states):
        call.tensor("first", state, k)
        if (g := gradients[1 + k]) is not None:
            call.tensor("g_last", g.contiguous(), k)
        if wanted.states:
            d_states[k] = d = x.new_empty(state.shape)
            call.tensor("d_first", d, k)
    d_params: dict[str, Tensor | None] = dict.fromkeys(params)
    if wanted.params:
        d = {name: torch.empty_like(p) for name, p in params.items()}
        used = {"weight_ih", "bias_ih"}
        call.tensor("dw_ih", d["weight_ih"])
        if "bias_ih" in d:
            call.tensor("db_ih", d["bias_ih"])
        for k, (weight, bias, block, _) in enumerate(facts.products):
            call.tensor("dU", d[weight], k, block * H * H)
            if bias in d:
                call.tensor("db_hh", d[bias], k, block * H)
        for k, (name, block) in enumerate(facts.vectors):
            call.tensor("d_vectors", d[name], k, block * H)
        whole = {weight: block for weight, _, block, _ in facts.products}
        for name, gradient in d.items():
            blocks = {b for w, bias, b, _ in facts.products if name in (w, bias)} | {b for n, b in facts.vectors if n == name}
            if name not in used and len(blocks) * H * (H if name in whole else 1) != gradient.numel():
                gradient.zero_()  # a matrix or vector that the step never uses
        d_params = dict(d)
    call.run(job.kernel.backward)
    return dx, d_states, list(d_params.values())


class _Recur(torch.autograd.Function):
    """The kernel in eager mode, with less ceremony for each call than an operator needs."""

    @staticmethod
    def forward(ctx: Any, job: Job, names: tuple[str, ...], n_states: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        x, states, params = tensors[0], tensors[1 : 1 + n_states], dict(zip(names, tensors[1 + n_states :], strict=True))
        results = _forward(job, x, states, params, True)
        ctx.job, ctx.names, ctx.n_states = job, names, n_states
        ctx.save_for_backward(*tensors, *results)
        ctx.set_materialize_grads(False)
        finals = results[1 : 1 + n_states]
        return (results[0], *finals)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        saved, n = ctx.saved_tensors, ctx.n_states
        count = 1 + n + len(ctx.names)
        x, states, params = saved[0], saved[1 : 1 + n], dict(zip(ctx.names, saved[1 + n : count], strict=True))
        needs = ctx.needs_input_grad[3:]
        wanted = _Wanted(needs[0], any(needs[1 : 1 + n]), any(needs[1 + n :]))
        dx, d_states, d_params = _backward(ctx.job, x, states, params, saved[count:], gradients, wanted)
        return (None, None, None, dx, *d_states, *d_params)


def _job(key: str, batch_first: bool, reverse: bool, ragged: Sequence[Tensor], packed: bool) -> Job:
    if not ragged:
        return Job(loaded(key), batch_first, reverse, None)
    order = ragged[3] if len(ragged) > 3 else None
    return Job(loaded(key), batch_first, reverse, Ragged(tuple(ragged[0].tolist()), ragged[0], ragged[1], ragged[2], order, packed))


@torch.library.custom_op("gatework::recur", mutates_args=(), device_types="cpu")
def recur_op(
    x: Tensor,
    states: Sequence[Tensor],
    params: Sequence[Tensor],
    ragged: Sequence[Tensor],
    names: str,
    key: str,
    batch_first: bool,
    reverse: bool,
    packed: bool,
    train: bool,
) -> list[Tensor]:
    """`_forward` as an operator, for torch.compile, export and other transformations."""
    job = _job(key, batch_first, reverse, ragged, packed)
    return _forward(job, x.contiguous(), [s.contiguous() for s in states], _named(names, params), train)


@recur_op.register_fake
def _(x, states, params, ragged, names, key, batch_first, reverse, packed, train):  # type: ignore[no-untyped-def]
    H = states[0].shape[1]
    results = [x.new_empty((*x.shape[:-1], H)), *(torch.empty_like(s) for s in states)]
    if train:
        N = x.shape[0] if packed else x.shape[0] * x.shape[1]
        if ragged and not packed:
            N = torch.library.get_ctx().new_dynamic_size()
        lanes = machine().vector_bytes // x.element_size()
        padded_H = -(-H // lanes) * lanes
        results += [x.new_empty((N, loaded(key).facts.saved, padded_H)), *(x.new_empty((N, padded_H)) for _ in states[1:])]
    return results


@torch.library.custom_op("gatework::recur_backward", mutates_args=(), device_types="cpu")
def recur_backward_op(
    gradients: Sequence[Tensor],
    x: Tensor,
    states: Sequence[Tensor],
    params: Sequence[Tensor],
    ragged: Sequence[Tensor],
    results: Sequence[Tensor],
    names: str,
    key: str,
    batch_first: bool,
    reverse: bool,
    packed: bool,
) -> list[Tensor]:
    """`_backward` as an operator: gradients of x, states and parameters."""
    job = _job(key, batch_first, reverse, ragged, packed)
    first = [s.contiguous() for s in states]
    dx, d_states, d_params = _backward(
        job, x.contiguous(), first, _named(names, params), results, gradients, _Wanted(True, True, True)
    )
    return [t for t in (dx, *d_states, *d_params) if t is not None]


@recur_backward_op.register_fake
def _(gradients, x, states, params, ragged, results, names, key, batch_first, reverse, packed):  # type: ignore[no-untyped-def]
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t in (x, *states, *params)]


def _named(names: str, params: Sequence[Tensor]) -> dict[str, Tensor]:
    return {name: p.contiguous() for name, p in zip(names.split(","), params, strict=True)}


def _setup(ctx: Any, inputs: Any, output: Any) -> None:
    x, states, params, ragged, *ctx.rest = inputs
    ctx.counts = len(states), len(params), len(ragged)
    ctx.save_for_backward(x, *states, *params, *ragged, *output)


def _op_backward(ctx: Any, gradients: Sequence[Tensor]) -> tuple[Any, ...]:
    n_states, n_params, n_ragged = ctx.counts
    x, *tensors = ctx.saved_tensors
    states, tensors = tensors[:n_states], tensors[n_states:]
    params, tensors = tensors[:n_params], tensors[n_params:]
    ragged, results = tensors[:n_ragged], tensors[n_ragged:]
    names, key, batch_first, reverse, packed, _ = ctx.rest
    wanted = [g if g is not None else torch.zeros_like(r) for g, r in zip(gradients[: 1 + n_states], results, strict=False)]
    dx, *d = recur_backward_op(wanted, x, states, params, ragged, results, names, key, batch_first, reverse, packed)
    return dx, d[:n_states], d[n_states:], [None] * n_ragged, *([None] * 6)


recur_op.register_autograd(_op_backward, setup_context=_setup)


def _plain(tensors: Sequence[Tensor]) -> bool:
    """Whether nothing watches: no tracing, no transformation, no tensor subclass."""
    return (
        not torch.compiler.is_compiling()
        and torch._C._functorch.peek_interpreter_stack() is None
        and torch._C._len_torch_dispatch_stack() == 0
        and all(type(t) in (Tensor, torch.nn.Parameter) for t in tensors)
        and tensors[0].device.type == "cpu"
    )


def run(job: Job, x: Tensor, states: Sequence[Tensor], params: Mapping[str, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a kernel with autograd; arguments as for `launch.recur`."""
    train = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *states, *params.values()))
    if _plain((x, *states, *params.values())):
        first = [s.contiguous() for s in states]
        weights = {name: p.contiguous() for name, p in params.items()}
        if not train:
            y, *finals = _forward(job, x, first, weights, False)
            return y, tuple(finals)
        y, *finals = _Recur.apply(job, tuple(weights), len(first), x, *first, *weights.values())
        return y, tuple(finals)
    ragged: list[Tensor] = []
    if job.ragged is not None:
        ragged = [job.ragged.sizes, job.ragged.offsets, job.ragged.lengths]
        ragged += [job.ragged.order] if job.ragged.order is not None else []
    packed = job.ragged is not None and job.ragged.packed
    names = ",".join(params)
    y, *rest = recur_op(
        x, list(states), list(params.values()), ragged, names, job.kernel.key, job.batch_first, job.reverse, packed, train
    )
    return y, tuple(rest[: len(states)])
