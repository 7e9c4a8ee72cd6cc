"""Stacked layers side by side: each on a thread, some steps behind the one that it reads, where that is faster."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gatework.cells.cell import Cell
from gatework.compiler import call, transforms
from gatework.compiler.build import Kernel
from gatework.compiler.call import Call, Job
from gatework.compiler.facts import Facts
from gatework.compiler.launch import Backend, choose
from gatework.compiler.native import is_watched
from gatework.compiler.ragged import Ragged
from gatework.compiler.transforms import Task

Tensors = Mapping[str, Tensor]

# Two threads on one layer meet after every step, which costs about 100,000 operations: below, kernels use one thread,
# unless there are rows to divide. Only there is a layer for each thread faster: 0.6 to 0.7 of the time for H <= 64.
_STEP = 100e3
_ROWS = 4
_SHORTEST = 32  # steps; shorter sequences are over before the next layer has begun


def run_layers(
    cell: Cell,
    x: Tensor,
    states: Sequence[Sequence[Tensor]],
    params: Sequence[Tensors],
    *,
    ragged: Ragged | None = None,
    batch_first: bool = False,
    backend: Backend = "auto",
) -> tuple[Tensor, list[tuple[Tensor, ...]]] | None:
    """Layers of a cell without further inputs or noise, each reading the one before; None where one by one is as fast.

    Arguments as for `launch.recur`, with states and parameters of each layer.  Returns the outputs of the last layer
    and the final states of each.
    """
    kernel = _kernel(cell, x, states, params, batch_first, ragged, backend)
    if kernel is None:
        return None
    job = Job(kernel, batch_first, False, ragged)
    tasks = [Task(cell, job, len(states[0]), tuple(p), ()) for p in params]
    tensors = [x]
    for first, weights in zip(states, params, strict=True):
        tensors += [t.contiguous() for t in (*first, *weights.values())]
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        found = _Layers.apply(tasks, *tensors)  # type: ignore[no-untyped-call]
    else:
        found = _given(tasks, _forward(tasks, tensors, False))
    L, n = len(tasks), len(states[0])
    return found[L - 1], [tuple(found[L + k * n :][:n]) for k in range(L)]


def _kernel(
    cell: Cell,
    x: Tensor,
    states: Sequence[Sequence[Tensor]],
    params: Sequence[Tensors],
    batch_first: bool,
    ragged: Ragged | None,
    backend: Backend,
) -> Kernel | None:
    weights = [w for p in params for w in p.values()]
    others = [*(s for first in states for s in first), *weights]
    if (
        backend == "reference"
        or is_watched((x, *others))  # first of all: a tracer would take the sizes below for fixed ones
        or torch._C._functorch.peek_interpreter_stack() is not None
        or call.threads() not in (2, 3)
        or torch.is_autocast_enabled(x.device.type)
        or x.dtype not in (torch.float32, torch.float64)
        or any(t.dtype != x.dtype for t in others)
    ):
        return None
    B = states[0][0].shape[0]
    T = len(ragged.batch_sizes) if ragged is not None else x.shape[1 if batch_first else 0]
    step = 2 * B * sum(w.numel() for w in weights) / len(params)
    if not 0 < B < _ROWS * call.threads() or T < _SHORTEST or step >= _STEP:
        return None
    kernel = choose(cell, x, backend, others)
    if kernel is None or not isinstance(kernel.facts, Facts):
        return None
    return kernel if kernel.facts.products and not kernel.facts.hoisted else None


def _of_layer(task: Task, k: int, values: Sequence[Any], x: Any) -> list[Any]:
    """x, states and parameters of layer k; `values` has the first layer's x, then the others of every layer."""
    own = task.states + len(task.params)
    return [x, *values[1 + k * own :][:own]]


def _run_linked(function: Any, kernel: Kernel, calls: Sequence[Call]) -> None:
    """Run calls side by side, each waiting for what it reads of the one before, step by step."""
    counters = array("q", bytes(128 * len(calls)))  # each on a cache line of its own
    for k, one in enumerate(calls):
        one.values[one.at["progress"]] = counters.buffer_info()[0] + 128 * k
        one.values[one.at["awaits"]] = counters.buffer_info()[0] + 128 * (k - 1) if k else 0
    call.run_at_once(kernel, function, calls)
    del counters  # the kernels counted in it until now


def _forward(tasks: Sequence[Task], tensors: Sequence[Tensor], train: bool) -> list[list[Tensor]]:
    calls, results, x = [], [], tensors[0]
    for k, task in enumerate(tasks):
        _, states, params, extra = task.named(_of_layer(task, k, tensors, x))
        prepared, result = call.prepare_forward(task.job, x, states, params, train, extra, None)
        calls.append(prepared)
        results.append(result)
        x = result[0]
    kernel = tasks[0].job.kernel
    _run_linked(kernel.forward, kernel, calls)
    return results


def _given(tasks: Sequence[Task], results: Sequence[Sequence[Tensor]]) -> tuple[Tensor, ...]:
    """Outputs of all layers, then their final states."""
    return *(r[0] for r in results), *(f for r in results for f in r[1 : 1 + tasks[0].states])


class _Layers(torch.autograd.Function):
    """`native._Recur` for layers that read from one another.

    Outputs of inner layers are given too: nobody uses them but the derivatives of gradients.
    """

    @staticmethod
    def forward(ctx: Any, tasks: Sequence[Task], *tensors: Tensor) -> tuple[Tensor, ...]:
        results = _forward(tasks, tensors, True)
        ctx.tasks, ctx.kept = tasks, len(results[0])
        ctx.save_for_backward(*tensors, *(r for result in results for r in result))
        ctx.set_materialize_grads(False)
        return _given(tasks, results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        tasks, needs, saved = ctx.tasks, ctx.needs_input_grad[1:], ctx.saved_tensors
        L, n, calls = len(tasks), tasks[0].states, []
        side_by_side = not torch.is_grad_enabled() and all(g is None for g in gradients[: L - 1])
        found: list[list[Tensor | None]] = []
        gy: Tensor | None = None
        for k in reversed(range(L)):
            task, results = tasks[k], saved[len(needs) + k * ctx.kept :][: ctx.kept]
            x = saved[len(needs) + (k - 1) * ctx.kept] if k else saved[0]
            tensors, wanted = _of_layer(task, k, saved[: len(needs)], x), _of_layer(task, k, needs, k > 0 or needs[0])
            own = gradients[k]
            gy = own if gy is None else gy if own is None else gy + own
            given = [gy, *gradients[L + k * n :][:n]]
            if torch.is_grad_enabled():  # create_graph=True: somebody will differentiate these gradients
                full = [torch.zeros_like(r) if g is None else g for g, r in zip(given, results, strict=False)]
                gy, *rest = transforms.gradient(task, None, full, tensors, wanted)
                found.append(rest)
                continue
            x, states, params, extra = task.named(tensors)
            prepared, (gy, *d) = call.prepare_backward(
                task.job, x, states, params, results, given, task.wanted(wanted), extra, None
            )
            if gy is not None:
                prepared.keep(gy)  # that of an inner layer is read by the next call alone
            found.append([*d[0], *d[1]])
            calls.append(prepared)
            if not side_by_side:
                prepared.run(task.job.kernel.backward)
        if side_by_side:
            _run_linked(tasks[0].job.kernel.backward, tasks[0].job.kernel, calls)
        return None, gy, *(g for rest in reversed(found) for g in rest)
