"""One step of a cell at a time, prepared: a stream of single steps spends more on calling a kernel than in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gatework.cells.cell import Cell
from gatework.compiler import call
from gatework.compiler.call import Job
from gatework.compiler.hoisting import with_hoisted
from gatework.compiler.launch import Refusal, kernel_or_refusal
from gatework.compiler.native import is_watched
from gatework.errors import InputError


class Step:
    """One step of B rows with weights that stay as they are; gives what `launch.recur` gives, without gradients.

    Where the weights lie and how large everything is was looked up when this was made: make another after a change.

    Args:
        job: the kernel; batch first, every row as long as the others.
        params: weights, all of one dtype; they are kept.
        rows: B, >= 1.
        input_size: features I of an input.
        widths: units of each state.
    """

    def __init__(
        self, job: Job, params: Mapping[str, Tensor], rows: int, input_size: int, widths: Sequence[int]
    ) -> None:
        facts = job.kernel.facts
        self._params = with_hoisted(facts.hoisted, facts.own_gates, params)
        like = next(iter(params.values()))
        x, states = like.new_empty((rows, 1, input_size)), [like.new_empty((rows, width)) for width in widths]
        self._call, (y, *_) = call.prepare_forward(job, x, states, self._params, False, {}, None)
        self._run = job.kernel.forward
        self._dtype, self._y = like.dtype, y.shape
        self._shapes = [x.shape, *(torch.Size((1, rows, width)) for width in widths)]

    def __call__(self, x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Outputs [B, 1, H] and the next states, each [1, B, width], from inputs [B, 1, I] and states.

        Raises InputError for other shapes and dtypes.
        """
        given = [tensor.contiguous() for tensor in (x, *states)]
        if [tensor.shape for tensor in given] != self._shapes or any(tensor.dtype != self._dtype for tensor in given):
            got = ", ".join(f"{tuple(tensor.shape)} of {tensor.dtype}" for tensor in given)
            expected = ", ".join(str(tuple(shape)) for shape in self._shapes)
            raise InputError(f"a step came with {got}; expected {expected} of {self._dtype}, input and states.")
        y, finals = x.new_empty(self._y), [torch.empty_like(state) for state in given[1:]]
        at, values = self._call.at, self._call.values[:]  # a copy: another thread may be in a call
        values[at["threads"]] = call.threads()
        values[at["x"]], values[at["y"]] = given[0].data_ptr(), y.data_ptr()
        for k, final in enumerate(finals):
            values[at["first"] + k], values[at["last"] + k] = given[k + 1].data_ptr(), final.data_ptr()
        if self._run(values.buffer_info()[0]):
            raise MemoryError("not enough memory for a kernel's buffers; take fewer rows.")
        return y, finals


def prepared(
    cell: Cell, params: Mapping[str, Tensor], rows: int, input_size: int, widths: Sequence[int]
) -> Step | None:
    """A step of a cell that draws nothing and reads x alone; None where no kernel takes these weights as they are."""
    given = {name: p.detach().contiguous() for name, p in params.items()}
    dtypes = {p.dtype for p in given.values()}
    watched = is_watched(tuple(given.values())) or torch._C._functorch.peek_interpreter_stack() is not None
    if len(dtypes) != 1 or watched or torch.is_autocast_enabled("cpu"):
        return None
    kernel = kernel_or_refusal(cell, dtypes.pop())
    if isinstance(kernel, Refusal):
        return None
    return Step(Job(kernel, True, False, None), given, rows, input_size, widths)
