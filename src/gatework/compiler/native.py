"""Compiled kernels under autograd: directly in eager mode, as `torch.library` operators for everything that traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gatework.compiler import call
from gatework.compiler.build import loaded, machine
from gatework.compiler.call import Job, Wanted
from gatework.compiler.ragged import Ragged


class _Recur(torch.autograd.Function):
    """The kernel in eager mode, with less ceremony for each call than an operator needs."""

    @staticmethod
    def forward(ctx: Any, job: Job, names: tuple[str, ...], n_states: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        x, states, params = (
            tensors[0],
            tensors[1 : 1 + n_states],
            dict(zip(names, tensors[1 + n_states :], strict=True)),
        )
        results = call.forward(job, x, states, params, True)
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
        wanted = Wanted(needs[0], any(needs[1 : 1 + n]), any(needs[1 + n :]))
        dx, d_states, d_params = call.backward(ctx.job, x, states, params, saved[count:], gradients, wanted)
        return (None, None, None, dx, *d_states, *d_params)


def _job(key: str, batch_first: bool, reverse: bool, ragged: Sequence[Tensor], packed: bool) -> Job:
    if not ragged:
        return Job(loaded(key), batch_first, reverse, None)
    order = ragged[3] if len(ragged) > 3 else None
    return Job(
        loaded(key),
        batch_first,
        reverse,
        Ragged(tuple(ragged[0].tolist()), ragged[0], ragged[1], ragged[2], order, packed),
    )


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
    """`forward` as an operator, for torch.compile, export and other transformations."""
    job = _job(key, batch_first, reverse, ragged, packed)
    return call.forward(job, x.contiguous(), [s.contiguous() for s in states], _named(names, params), train)


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
        results += [
            x.new_empty((N, loaded(key).facts.saved, padded_H)),
            *(x.new_empty((N, padded_H)) for _ in states[1:]),
        ]
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
    """`backward` as an operator: gradients of x, states and parameters."""
    job = _job(key, batch_first, reverse, ragged, packed)
    first = [s.contiguous() for s in states]
    dx, d_states, d_params = call.backward(
        job, x.contiguous(), first, _named(names, params), results, gradients, Wanted(True, True, True)
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
    wanted = [
        g if g is not None else torch.zeros_like(r) for g, r in zip(gradients[: 1 + n_states], results, strict=False)
    ]
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


def run(
    job: Job, x: Tensor, states: Sequence[Tensor], params: Mapping[str, Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a kernel with autograd; arguments as for `launch.recur`."""
    train = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *states, *params.values()))
    if _plain((x, *states, *params.values())):
        first = [s.contiguous() for s in states]
        weights = {name: p.contiguous() for name, p in params.items()}
        if not train:
            y, *finals = call.forward(job, x, first, weights, False)
            return y, tuple(finals)
        y, *finals = _Recur.apply(  # type: ignore[no-untyped-call]
            job, tuple(weights), len(first), x, *first, *weights.values()
        )
        return y, tuple(finals)
    ragged: list[Tensor] = []
    if job.ragged is not None:
        ragged = [job.ragged.sizes, job.ragged.offsets, job.ragged.lengths]
        ragged += [job.ragged.order] if job.ragged.order is not None else []
    packed = job.ragged is not None and job.ragged.packed
    names = ",".join(params)
    y, *rest = recur_op(
        x,
        list(states),
        list(params.values()),
        ragged,
        names,
        job.kernel.key,
        job.batch_first,
        job.reverse,
        packed,
        train,
    )
    return y, tuple(rest[: len(states)])
