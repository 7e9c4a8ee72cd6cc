"""Compiled kernels as `torch.library` operators: what torch.compile, torch.export and other tracing see of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gatework.cells.cell import Cell
from gatework.compiler import call
from gatework.compiler.build import Kernel
from gatework.compiler.call import Job, Wanted
from gatework.compiler.identity import identified_kernel, identify
from gatework.compiler.ragged import Ragged


def run(
    cell: Cell,
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
    train: bool,
) -> list[Tensor]:
    """`call.forward` through the operator."""
    ragged, *rest = _plain(cell, job, params, extra)
    results: list[Tensor] = recur_op(
        x, list(states), list(params.values()), list(extra.values()), seed, ragged, *rest, train
    )
    return results


def gradient(
    cell: Cell,
    job: Job,
    gradients: Sequence[Tensor],
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
    wanted: Wanted,
) -> list[Tensor]:
    """The gradients that are wanted, without what an earlier forward kept: forward once more, then backward."""
    ragged, *rest = _plain(cell, job, params, extra)
    tensors = x, list(states), list(params.values()), list(extra.values()), seed, ragged
    results = recur_op(*tensors, *rest, True)
    flags = [wanted.x, wanted.states, wanted.params, wanted.extra]
    found: list[Tensor] = recur_backward_op(list(gradients), *tensors, results, *rest, flags)
    return found


def _plain(cell: Cell, job: Job, params: Mapping[str, Tensor], extra: Mapping[str, Tensor]) -> tuple[Any, ...]:
    """A job as an operator's arguments: lengths, names of parameters and extra inputs, the cell, switches."""
    ragged: list[Tensor] = []
    if job.ragged is not None:
        ragged = [job.ragged.sizes, job.ragged.offsets, job.ragged.lengths]
        ragged += [job.ragged.order] if job.ragged.order is not None else []
    packed = job.ragged is not None and job.ragged.packed
    return ragged, ",".join(params), ",".join(extra), identify(cell), job.batch_first, job.reverse, packed


def _job(kernel: Kernel, batch_first: bool, reverse: bool, ragged: Sequence[Tensor], packed: bool) -> Job:
    order = ragged[3] if len(ragged) > 3 else None
    lengths = Ragged(ragged[0], ragged[1], ragged[2], order, packed) if ragged else None
    return Job(kernel, batch_first, reverse, lengths)


def _kernel(cell: str, x: Tensor, params: Sequence[Tensor]) -> Kernel:
    """The kernel for a call's tensors; weights of eight bits have one of their own."""
    return identified_kernel(cell, torch.int8 if any(p.dtype == torch.int8 for p in params) else x.dtype)


def _kept(kernel: Kernel, N: int, x: Tensor, states: Sequence[Tensor]) -> list[Tensor]:
    """Room for what forward keeps for backward."""
    dtype = call.kept_dtype(x.dtype)
    shapes = call.kept_shapes(kernel, N, [s.shape[1] for s in states], x.shape[-1], dtype.itemsize)
    return [x.new_empty(shape, dtype=dtype) for shape in shapes]


def _empty(x: Tensor, ragged: Sequence[Tensor]) -> bool:
    """Whether there is no step to take; only eager calls can tell beforehand."""
    return 0 in x.shape[:-1] or (bool(ragged) and ragged[0].numel() == 0)


def _named(names: str, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {name: t.contiguous() for name, t in zip(names.split(",") if names else (), tensors, strict=True)}


@torch.library.custom_op("gatework::recur", mutates_args=(), device_types="cpu")
def recur_op(
    x: Tensor,
    states: Sequence[Tensor],
    params: Sequence[Tensor],
    extra: Sequence[Tensor],
    seed: Tensor | None,
    ragged: Sequence[Tensor],
    names: str,
    extra_names: str,
    cell: str,
    batch_first: bool,
    reverse: bool,
    packed: bool,
    train: bool,
) -> list[Tensor]:
    """`call.forward` as an operator."""
    job = _job(_kernel(cell, x, params), batch_first, reverse, ragged, packed)
    first = [s.contiguous() for s in states]
    if _empty(x, ragged):
        y, kept = x.new_zeros((*x.shape[:-1], states[0].shape[1])), _kept(job.kernel, 0, x, states) if train else []
        return [y, *(s.clone() for s in first), *kept]
    return call.forward(job, x.contiguous(), first, _named(names, params), train, _named(extra_names, extra), seed)


@recur_op.register_fake
def _(x, states, params, extra, seed, ragged, names, extra_names, cell, batch_first, reverse, packed, train):  # type: ignore[no-untyped-def]
    results = [x.new_empty((*x.shape[:-1], states[0].shape[1])), *(x.new_empty(s.shape) for s in states)]
    if train:
        N = x.shape[0] if packed else x.shape[0] * x.shape[1]
        if ragged and not packed:
            N = torch.library.get_ctx().new_dynamic_size()
        results += _kept(_kernel(cell, x, params), N, x, states)
    return results


@torch.library.custom_op("gatework::recur_backward", mutates_args=(), device_types="cpu")
def recur_backward_op(
    gradients: Sequence[Tensor],
    x: Tensor,
    states: Sequence[Tensor],
    params: Sequence[Tensor],
    extra: Sequence[Tensor],
    seed: Tensor | None,
    ragged: Sequence[Tensor],
    results: Sequence[Tensor],
    names: str,
    extra_names: str,
    cell: str,
    batch_first: bool,
    reverse: bool,
    packed: bool,
    wanted: Sequence[bool],
) -> list[Tensor]:
    """`call.backward` as an operator: the gradients of x, states, parameters and extra inputs that are wanted."""
    job = _job(_kernel(cell, x, params), batch_first, reverse, ragged, packed)
    first = [s.contiguous() for s in states]
    if _empty(x, ragged):
        still = (
            [torch.zeros_like(x)],
            [g.clone() for g in gradients[1:]],
            *([torch.zeros_like(t) for t in group] for group in (params, extra)),
        )
        return [t for group, want in zip(still, wanted, strict=True) if want for t in group]
    given = _named(names, params), results, gradients, Wanted(*wanted), _named(extra_names, extra), seed
    dx, *d = call.backward(job, x.contiguous(), first, *given)
    return [t for t in (dx, *d[0], *d[1], *d[2]) if t is not None]


@recur_backward_op.register_fake
def _(  # type: ignore[no-untyped-def]
    gradients,
    x,
    states,
    params,
    extra,
    seed,
    ragged,
    results,
    names,
    extra_names,
    cell,
    batch_first,
    reverse,
    packed,
    wanted,
):
    groups = zip(((x,), states, params, extra), wanted, strict=True)
    given = [t for group, want in groups if want for t in group]
    return [torch.empty_like(t, memory_format=torch.contiguous_format) for t in given]


def _setup(ctx: Any, inputs: Any, output: Any) -> None:
    x, states, params, extra, seed, ragged, *ctx.rest, _ = inputs
    ctx.counts = len(states), len(params), len(extra), len(ragged)
    ctx.save_for_backward(seed, x, *states, *params, *extra, *ragged, *output)


def _backward(ctx: Any, gradients: Sequence[Tensor]) -> tuple[Any, ...]:
    seed, x, *rest = ctx.saved_tensors
    parts = []
    for count in ctx.counts:
        parts.append(rest[:count])
        rest = rest[count:]
    states, params, extra, ragged = parts
    n = 1 + len(states)
    given = [g if g is not None else torch.zeros_like(r) for g, r in zip(gradients[:n], rest[:n], strict=True)]
    needs = ctx.needs_input_grad
    wanted = [needs[0], any(needs[1]), any(needs[2]), any(needs[3])]
    found = iter(recur_backward_op(given, x, states, params, extra, seed, ragged, rest, *ctx.rest, wanted))
    dx, *d = (
        [next(found) if want else None for _ in group] for group, want in zip(((x,), *parts), wanted, strict=False)
    )
    return dx[0], *d, None, [None] * len(ragged), *([None] * (len(ctx.rest) + 1))


recur_op.register_autograd(_backward, setup_context=_setup)
