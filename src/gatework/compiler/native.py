"""Compiled kernels under autograd: directly in eager mode, as operators for everything that traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gatework.compiler import call, operators
from gatework.compiler.call import Job, Wanted


class _Recur(torch.autograd.Function):
    """The kernel in eager mode, with less ceremony for each call than an operator needs."""

    @staticmethod
    def forward(
        ctx: Any, job: Job, names: tuple[tuple[str, ...], ...], seed: Tensor | None, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        n = len(tensors) - 1 - len(names[0]) - len(names[1])
        x, states, params, extra = _parts(tensors, n, names)
        results = call.forward(job, x, states, params, True, extra, seed)
        ctx.job, ctx.names, ctx.seed, ctx.n_states = job, names, seed, n
        ctx.save_for_backward(*tensors, *results)
        ctx.set_materialize_grads(False)
        return tuple(results[: 1 + n])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        n, m = 1 + ctx.n_states, 1 + ctx.n_states + len(ctx.names[0])
        count = m + len(ctx.names[1])
        given, results = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        x, states, params, extra = _parts(given, ctx.n_states, ctx.names)
        needs = ctx.needs_input_grad[3:]
        wanted = Wanted(needs[0], any(needs[1:n]), any(needs[n:m]), any(needs[m:]))
        dx, *d = call.backward(ctx.job, x, states, params, results, gradients, wanted, extra, ctx.seed)
        return (None, None, None, dx, *d[0], *d[1], *d[2])


def _parts(
    tensors: Sequence[Tensor], n_states: int, names: tuple[tuple[str, ...], ...]
) -> tuple[Tensor, Sequence[Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """x, states, parameters and extra inputs out of one flat row of tensors."""
    n, m = 1 + n_states, 1 + n_states + len(names[0])
    params, extra = dict(zip(names[0], tensors[n:m], strict=True)), dict(zip(names[1], tensors[m:], strict=True))
    return tensors[0], tensors[1:n], params, extra


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
    if not _plain(tensors):
        y, *rest = operators.run(job, x, states, params, extra, seed, train)
        return y, tuple(rest[: len(states)])
    first = [s.contiguous() for s in states]
    weights = {name: p.contiguous() for name, p in params.items()}
    if not train:
        y, *finals = call.forward(job, x, first, weights, False, extra, seed)
    else:
        names = tuple(weights), tuple(extra)
        y, *finals = _Recur.apply(  # type: ignore[no-untyped-call]
            job, names, seed, x, *first, *weights.values(), *extra.values()
        )
    return y, tuple(finals)
