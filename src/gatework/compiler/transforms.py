"""Compiled kernels under torch.func (vmap, grad and what is made of them), and derivatives of derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType
from torch.autograd import forward_ad

from gatework.cells.cell import Cell
from gatework.compiler import operators, padded
from gatework.compiler.call import Job, Wanted
from gatework.say import once

_ROWS = 256  # beyond as many rows a batch runs no faster, so no more samples are folded into one for a gradient


@dataclass(slots=True, eq=False)  # not frozen: one is made for every call in training
class Task:
    """What a call is besides its tensors, which come in a row: x, states, parameters, extra inputs."""

    cell: Cell
    job: Job
    states: int
    params: tuple[str, ...]
    extra: tuple[str, ...]

    def parts(self, tensors: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
        """A row of tensors, or of one thing for each, cut into x, states, parameters and extra inputs."""
        n = 1 + self.states
        m = n + len(self.params)
        return tensors[0], tensors[1:n], tensors[n:m], tensors[m:]

    def named(self, tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """The same for tensors, with names."""
        x, states, params, extra = self.parts(tensors)
        return x, list(states), dict(zip(self.params, params, strict=True)), dict(zip(self.extra, extra, strict=True))

    def wanted(self, needs: Sequence[bool]) -> Wanted:
        """Which gradients are asked for, from whether each tensor needs one."""
        x, *others = self.parts(needs)
        return Wanted(x, *(any(part) for part in others))

    def each(self, wanted: Wanted) -> tuple[bool, ...]:
        """Whether each tensor gets one; the inverse of `wanted`."""
        x, states, params, extra = wanted.x, wanted.states, wanted.params, wanted.extra
        return x, *[states] * self.states, *[params] * len(self.params), *[extra] * len(self.extra)

    def axes(self) -> tuple[int | None, ...]:
        """Where the rows of a batch lie in each tensor; a parameter has none."""
        ragged = self.job.ragged
        axis = 0 if self.job.batch_first or (ragged is not None and ragged.packed) else 1
        return axis, *[0] * self.states, *[None] * len(self.params), *[axis] * len(self.extra)

    def folded(self, V: int) -> Task:
        """The same for V samples in one batch, the samples of each row side by side."""
        ragged = self.job.ragged
        if ragged is None or V == 1:
            return self
        order = ragged.order
        wide = replace(
            ragged,
            sizes=ragged.sizes * V,
            offsets=ragged.offsets * V,
            lengths=ragged.lengths.repeat_interleave(V),
            order=None if order is None else (order[:, None] * V + torch.arange(V)).flatten(),
        )
        return replace(self, job=replace(self.job, ragged=wide))


class Value(torch.autograd.Function):
    """Outputs and final states.  Nothing is kept for backward: what a kernel keeps is not laid out by samples."""

    @staticmethod
    def forward(task: Task, seed: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run the kernel."""
        x, states, params, extra = task.named(tensors)
        return tuple(operators.run(task.cell, task.job, x, states, params, extra, seed, False))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save the inputs alone."""
        ctx.task, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """`Gradient` of the saved inputs."""
        seed, *tensors = ctx.saved_tensors
        return (None, None, *gradient(ctx.task, seed, gradients, tensors, ctx.needs_input_grad[2:]))

    @staticmethod
    def vmap(info: Any, in_dims: Any, task: Task, seed: Tensor | None, *tensors: Tensor) -> Any:
        """Samples as rows of one batch where they share parameters, else one after the other."""
        dims, V = in_dims[2:], info.batch_size
        if not _foldable(task, seed, dims):
            return _one_by_one(Value, V, in_dims, (task, seed, *tensors))
        axes = task.axes()
        folded = _fold(tensors, dims, axes, V)
        results = Value.apply(task.folded(V), None, *folded)  # type: ignore[no-untyped-call]
        return _unfold(results, axes, V)


class Gradient(torch.autograd.Function):
    """Gradients of x, states, parameters and extra inputs, by running the kernel forward once more, then backward."""

    @staticmethod
    def forward(task: Task, wanted: Wanted, seed: Tensor | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run the kernel forward and backward."""
        n = 1 + task.states
        x, states, params, extra = task.named(tensors[n:])
        return tuple(operators.gradient(task.cell, task.job, tensors[:n], x, states, params, extra, seed, wanted))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Save the inputs alone."""
        ctx.task, ctx.wanted, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Any, ...]:
        """The derivative of the reference's derivative."""
        task: Task = ctx.task
        seed, *tensors = ctx.saved_tensors
        n, job, gets = 1 + task.states, task.job, task.each(ctx.wanted)
        once(
            f"second {task.cell.name}",
            f"{task.cell.name}: derivatives of derivatives come from the reference backend, a Python loop.",
        )

        def value(*inputs: Tensor) -> tuple[Tensor, ...]:
            y, finals = padded.run(task.cell, *task.named(inputs), seed, job.ragged, job.batch_first, job.reverse)
            return y, *finals

        def first(*given: Tensor) -> tuple[Tensor, ...]:
            pull = torch.func.vjp(value, *given[n:])[1]
            return tuple(d for d, get in zip(pull(given[:n]), gets, strict=True) if get)

        pull_second = torch.func.vjp(first, *tensors)[1]
        return (None, None, None, *pull_second(cotangents))

    @staticmethod
    def vmap(info: Any, in_dims: Any, task: Task, wanted: Wanted, seed: Tensor | None, *tensors: Tensor) -> Any:
        """As for `Value`; one after the other also where each sample has its own gradient of the parameters."""
        dims, V, n = in_dims[3:], info.batch_size, 1 + task.states
        if wanted.params or not _foldable(task, seed, dims[n:]):
            return _one_by_one(Gradient, V, in_dims, (task, wanted, seed, *tensors))
        axes = task.axes()
        state, dim = tensors[1], dims[1]
        B = state.numel() // state.shape[-1] // (1 if dim is None else V)
        parts: list[tuple[Tensor, ...]] = []
        for start in range(0, V, size := max(1, _ROWS // B)):
            count = min(size, V - start)
            some = [t if d is None else t.narrow(d, start, count) for t, d in zip(tensors, dims, strict=True)]
            folded = _fold(some, dims, (*axes[:n], *axes), count)
            found = Gradient.apply(task.folded(count), wanted, None, *folded)  # type: ignore[no-untyped-call]
            out = tuple(axis for axis, get in zip(axes, task.each(wanted), strict=True) if get)
            found, out_dims = _unfold(found, out, count)
            parts.append(found)
        if len(parts) == 1:
            return parts[0], out_dims
        return tuple(torch.cat(t, d) for t, d in zip(zip(*parts, strict=True), out_dims, strict=True)), out_dims


def gradient(
    task: Task, seed: Tensor | None, gradients: Sequence[Tensor], tensors: Sequence[Tensor], needs: Sequence[bool]
) -> list[Tensor | None]:
    """Gradients that can be transformed and differentiated again: of each tensor, None where none is needed."""
    wanted = task.wanted(needs)
    found = iter(Gradient.apply(task, wanted, seed, *gradients, *tensors))  # type: ignore[no-untyped-call]
    return [next(found) if get else None for get in task.each(wanted)]


def _foldable(task: Task, seed: Tensor | None, dims: Sequence[int | None]) -> bool:
    """Whether samples may be rows of one batch: they share parameters, and no noise depends on a row's number."""
    return seed is None and all(d is None for d in task.parts(dims)[2])


def _fold(tensors: Sequence[Tensor], dims: Sequence[int | None], axes: Sequence[int | None], V: int) -> list[Tensor]:
    """Samples become rows, those of one row side by side."""
    folded = []
    for tensor, dim, axis in zip(tensors, dims, axes, strict=True):
        if axis is None:
            folded.append(tensor)
            continue
        if dim is None:
            shape = list(tensor.shape)
            shape.insert(axis + 1, V)
            tensor = tensor.unsqueeze(axis + 1).expand(shape)
        else:
            tensor = tensor.movedim(dim, axis + 1)
        folded.append(tensor.flatten(axis, axis + 1))
    return folded


def _unfold(
    results: Sequence[Tensor], axes: Sequence[int | None], V: int
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Rows become samples again; also says where each result's samples lie."""
    pairs = [(t, axis) for t, axis in zip(results, axes, strict=False) if axis is not None]
    return tuple(torch.unflatten(t, axis, (-1, V)) for t, axis in pairs), tuple(axis + 1 for _, axis in pairs)


def _one_by_one(function: Any, V: int, in_dims: Sequence[Any], given: Sequence[Any]) -> Any:
    """Run a function sample after sample; results stacked in front."""
    results = [
        function.apply(*(g if d is None else g.select(d, v) for g, d in zip(given, in_dims, strict=True)))
        for v in range(V)
    ]
    return tuple(torch.stack(rows) for rows in zip(*results, strict=True)), (0,) * len(results[0])


def unserved(tensors: Sequence[Tensor]) -> str | None:
    """What watches these tensors that kernels do not go through, in words; None when there is nothing."""
    if torch.compiler.is_compiling():
        return "transformations of torch.func inside torch.compile" if _transformed() else None
    stack = torch._C._functorch.get_interpreter_stack() or ()
    for interpreter in stack:
        if interpreter.key() not in (TransformType.Vmap, TransformType.Grad):
            return f"torch.func's {str(interpreter.key().name).lower()}"
    if stack or forward_ad._current_level < 0:
        return None
    dual = any(torch._VF._unpack_dual(t, level=0)[1] is not None for t in tensors)
    return "torch.autograd.forward_ad" if dual else None


def _transformed() -> bool:
    return torch._C._functorch.peek_interpreter_stack() is not None


_transformed._dynamo_marked_constant = True  # type: ignore[attr-defined]
