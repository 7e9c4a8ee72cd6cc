"""Both directions of a layer: at once, each on a thread of its own, where that is faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gatework.cells.cell import Cell
from gatework.compiler import call, transforms
from gatework.compiler.build import Kernel
from gatework.compiler.call import Job
from gatework.compiler.facts import Facts
from gatework.compiler.launch import Backend, choose, recur
from gatework.compiler.native import is_watched
from gatework.compiler.ragged import Ragged
from gatework.compiler.transforms import Task

Result = tuple[Tensor, tuple[Tensor, ...]]
Tensors = Mapping[str, Tensor]

# Two threads on one direction meet after every step. With weights that fit a core's own cache, a direction for each
# thread took 0.5 to 0.9 of the time for H <= 128, as much at H = 256 and more above.
_CACHE_BYTES = 1 << 20
_ROWS_OF_A_THREAD = 16  # a kernel divides larger batches by rows, whose threads do not meet


def recur_both(
    cell: Cell,
    x: Tensor,
    states: Sequence[Sequence[Tensor]],
    params: Sequence[Tensors],
    *,
    ragged: Ragged | None = None,
    batch_first: bool = False,
    backend: Backend = "auto",
    extra: Tensors | None = None,
    seeds: Sequence[Tensor | None] = (None, None),
) -> list[Result]:
    """`launch.recur` in either direction of time, with states, parameters and a seed for each of the two."""
    extra = extra or {}
    kernel = _kernel(cell, x, states, params, extra, backend)
    if kernel is None or 0 in x.shape[:-1] or (ragged is not None and not ragged.batch_sizes):
        return [
            recur(
                cell,
                x,
                states[k],
                params[k],
                ragged=ragged,
                batch_first=batch_first,
                reverse=k == 1,
                backend=backend,
                extra=extra,
                seed=seeds[k],
            )
            for k in range(2)
        ]
    jobs = [Job(kernel, batch_first, reverse, ragged) for reverse in (False, True)]
    return _run(cell, jobs, x, states, params, extra, seeds)


def _kernel(
    cell: Cell,
    x: Tensor,
    states: Sequence[Sequence[Tensor]],
    params: Sequence[Tensors],
    extra: Tensors,
    backend: Backend,
) -> Kernel | None:
    """The kernel to run twice at once; None where that cannot be, or would not be faster."""
    weights = [*params[0].values(), *params[1].values()]
    others = (*states[0], *states[1], *weights, *extra.values())
    if (
        backend == "reference"
        or is_watched((x, *others))  # first of all: a tracer would take the sizes below for fixed ones
        or torch._C._functorch.peek_interpreter_stack() is not None
        or call.threads() not in (2, 3)
        or torch.is_autocast_enabled(x.device.type)
        or x.dtype not in (torch.float32, torch.float64)
        or any(t.dtype != x.dtype for t in others)
        or states[0][0].shape[0] >= 2 * _ROWS_OF_A_THREAD
        or sum(w.numel() * w.itemsize for w in weights) > 2 * _CACHE_BYTES
    ):
        return None
    kernel = choose(cell, x, backend, others)
    fits = kernel is not None and isinstance(kernel.facts, Facts) and not kernel.facts.hoisted
    return kernel if fits else None


def _run(
    cell: Cell,
    jobs: Sequence[Job],
    x: Tensor,
    states: Sequence[Sequence[Tensor]],
    params: Sequence[Tensors],
    extra: Tensors,
    seeds: Sequence[Tensor | None],
) -> list[Result]:
    n = len(states[0])
    tasks = [Task(cell, job, n, tuple(params[0]), tuple(extra)) for job in jobs]
    tensors = [x]
    for k in range(2):
        tensors += [t.contiguous() for t in (*states[k], *params[k].values())]
    tensors += extra.values()
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        found = _Both.apply(tasks, seeds, *tensors)  # type: ignore[no-untyped-call]
    else:
        results = _forward(tasks, seeds, tensors, False)
        found = (*results[0], *results[1])
    (y, *finals), (z, *others) = found[: 1 + n], found[1 + n :]
    return [(y, tuple(finals)), (z, tuple(others))]


def _of_direction(task: Task, k: int, values: Sequence[Any]) -> list[Any]:
    """x, states, parameters and extra inputs of direction k; `values` has x, then each direction's own, then extra."""
    own = task.states + len(task.params)
    return [values[0], *values[1 + k * own :][:own], *values[1 + 2 * own :]]


def _forward(
    tasks: Sequence[Task], seeds: Sequence[Tensor | None], tensors: Sequence[Tensor], train: bool
) -> list[list[Tensor]]:
    calls, results = [], []
    for k, task in enumerate(tasks):
        x, states, params, extra = task.named(_of_direction(task, k, tensors))
        prepared, result = call.prepare_forward(task.job, x, states, params, train, extra, seeds[k])
        calls.append(prepared)
        results.append(result)
    kernel = tasks[0].job.kernel
    call.run_at_once(kernel, kernel.forward, calls)
    return results


class _Both(torch.autograd.Function):
    """`native._Recur` for two directions."""

    @staticmethod
    def forward(
        ctx: Any, tasks: Sequence[Task], seeds: Sequence[Tensor | None], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        results = _forward(tasks, seeds, tensors, True)
        ctx.tasks, ctx.seeds, ctx.kept = tasks, seeds, len(results[0])
        ctx.save_for_backward(*tensors, *results[0], *results[1])
        ctx.set_materialize_grads(False)
        given = 1 + tasks[0].states
        return (*results[0][:given], *results[1][:given])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        needs, saved, given = ctx.needs_input_grad[2:], ctx.saved_tensors, 1 + ctx.tasks[0].states
        calls, found = [], []
        for k, task in enumerate(ctx.tasks):
            tensors, wanted = (_of_direction(task, k, values) for values in (saved[: len(needs)], needs))
            results = saved[len(needs) + k * ctx.kept :][: ctx.kept]
            mine = gradients[k * given :][:given]
            if torch.is_grad_enabled():  # create_graph=True: somebody will differentiate these gradients
                full = [torch.zeros_like(r) if g is None else g for g, r in zip(mine, results, strict=False)]
                found.append(list(transforms.gradient(task, ctx.seeds[k], full, tensors, wanted)))
                continue
            x, states, params, extra = task.named(tensors)
            prepared, (dx, *d) = call.prepare_backward(
                task.job, x, states, params, results, mine, task.wanted(wanted), extra, ctx.seeds[k]
            )
            calls.append(prepared)
            found.append([dx, *d[0], *d[1], *d[2]])
        if calls:
            kernel = ctx.tasks[0].job.kernel
            call.run_at_once(kernel, kernel.backward, calls)
        own = ctx.tasks[0].states + len(ctx.tasks[0].params)
        shared = [None if a is None else a + b for a, b in zip(*(f[:1] + f[1 + own :] for f in found), strict=True)]
        return (None, None, shared[0], *found[0][1 : 1 + own], *found[1][1 : 1 + own], *shared[1:])
