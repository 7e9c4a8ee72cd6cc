"""Compiled kernels under autograd: directly in eager mode, else through what can be transformed or traced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gatework.cells.cell import Cell
from gatework.compiler import call, operators, transforms
from gatework.compiler.call import Job
from gatework.compiler.transforms import Task
from gatework.errors import InputError


class _Recur(torch.autograd.Function):
    """The kernel in eager mode, with less ceremony for each call than an operator needs."""

    @staticmethod
    def forward(ctx: Any, task: Task, seed: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        x, states, params, extra = task.named(tensors)
        results = call.forward(task.job, x, states, params, True, extra, seed)
        ctx.task, ctx.seed = task, seed
        ctx.save_for_backward(*tensors, *results)
        ctx.set_materialize_grads(False)
        return tuple(results[: 1 + task.states])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        task, needs, saved = ctx.task, ctx.needs_input_grad[2:], ctx.saved_tensors
        tensors, results = saved[: len(needs)], saved[len(needs) :]
        if torch.is_grad_enabled():  # create_graph=True: somebody will differentiate these gradients
            given = [torch.zeros_like(r) if g is None else g for g, r in zip(gradients, results, strict=False)]
            return (None, None, *transforms.gradient(task, ctx.seed, given, tensors, needs))
        x, states, params, extra = task.named(tensors)
        wanted = task.wanted(needs)
        dx, *d = call.backward(task.job, x, states, params, results, gradients, wanted, extra, ctx.seed)
        return (None, None, dx, *d[0], *d[1], *d[2])


def is_watched(tensors: Sequence[Tensor]) -> bool:
    """Whether a tracer, a mode or a tensor subclass watches, or memory is not the processor's."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or not all(type(t) in (Tensor, torch.nn.Parameter) for t in tensors)
        or tensors[0].device.type != "cpu"
    )


def run(
    cell: Cell,
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    extra: Mapping[str, Tensor],
    seed: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a kernel with autograd; arguments as for `launch.recur`."""
    tensors = (x, *states, *params.values(), *extra.values())
    train = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    if not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None:
        task = Task(cell, job, len(states), tuple(params), tuple(extra))
        y, *finals = transforms.Value.apply(task, seed, *tensors)  # type: ignore[no-untyped-call]
        return y, tuple(finals)
    if torch._C._get_tracing_state() is not None:
        raise InputError(
            "torch.jit.trace cannot record a compiled kernel. Use torch.export, which replaces it, or "
            'backend="reference", whose trace holds for this number of time steps alone.'
        )
    if is_watched(tensors):
        y, *rest = operators.run(cell, job, x, states, params, extra, seed, train)
        return y, tuple(rest[: len(states)])
    first = [s.contiguous() for s in states]
    weights = {name: p.contiguous() for name, p in params.items()}
    if not train:
        y, *finals = call.forward(job, x, first, weights, False, extra, seed)
        return y, tuple(finals)
    task = Task(cell, job, len(first), tuple(weights), tuple(extra))
    y, *finals = _Recur.apply(  # type: ignore[no-untyped-call]
        task, seed, x, *first, *weights.values(), *extra.values()
    )
    return y, tuple(finals)
