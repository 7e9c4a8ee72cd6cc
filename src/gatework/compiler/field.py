"""A cell whose states are fields: convolutions by PyTorch, everything between two of them by one compiled kernel."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from gatework.cells.cell import Cell
from gatework.compiler.build import REALS, BuildError, library
from gatework.compiler.graph import Unsupported
from gatework.compiler.plan import Plan, plan
from gatework.compiler.render.field import FIELD, FieldFacts, render_field
from gatework.compiler.trace import fingerprint


@dataclass(frozen=True)
class FieldKernel:
    """A loaded kernel; `forward` and `backward` do one time step of the filled struct at an address."""

    facts: FieldFacts
    gates: int
    states: int
    forward: Any
    backward: Any


@dataclass(frozen=True, eq=False)
class FieldJob:
    """A kernel, the size of its field and the lengths of its sequences.

    Attributes:
        spatial: the field's two or three sizes.
        batch: sequences B, empty ones among them.
        batch_sizes: images that run at each time step, not rising, none 0.
        reverse: run from each sequence's last step to its first.
        zero_start: the initial states are zeros, so the first step needs no convolution.
    """

    kernel: FieldKernel
    spatial: tuple[int, ...]
    batch: int
    batch_sizes: tuple[int, ...]
    reverse: bool
    zero_start: bool

    @cached_property
    def steps(self) -> list[tuple[int, int]]:
        """(first packed image, images) of each time step in the order of computation."""
        firsts = accumulate(self.batch_sizes[:-1], initial=0)
        steps = list(zip(firsts, self.batch_sizes, strict=True))
        return steps[::-1] if self.reverse else steps

    @property
    def dense(self) -> bool:
        """Whether every sequence has all the steps."""
        return self.batch_sizes[-1] == self.batch


def image_of(rows: Tensor, spatial: Sequence[int]) -> Tensor:
    """Rows [n, P, K] as [n, K, *spatial], without a copy: channels lie side by side."""
    field = rows.view(rows.shape[0], *spatial, rows.shape[2])
    return field.permute(0, field.dim() - 1, *range(1, field.dim() - 1))


def rows_of(image: Tensor) -> Tensor:
    """[n, K, *spatial] as [n, P, K] in contiguous memory; a copy unless channels lie side by side."""
    rows = image.permute(0, *range(2, image.dim()), 1)
    return rows.reshape(image.shape[0], image.shape[2:].numel(), image.shape[1]).contiguous()


_chosen: WeakKeyDictionary[Cell, dict[Any, FieldKernel | Unsupported | BuildError]] = WeakKeyDictionary()


def field_kernel(cell: Cell, dtype: torch.dtype) -> FieldKernel:
    """The kernel of a cell over a field; decided once for each cell, its options and dtype.

    Raises Unsupported when the step is not pointwise around products on old states, BuildError without a C++ compiler.
    """
    options = (dtype, *(repr(getattr(cell, name)) for name in cell.options))
    known = _chosen.setdefault(cell, {})
    if options not in known:
        try:
            with _disable_current_modes():  # tracing is not part of what a mode watches
                known[options] = _load(cell, dtype)
        except (Unsupported, BuildError) as error:
            known[options] = error
    choice = known[options]
    if not isinstance(choice, FieldKernel):
        raise choice
    return choice


def _load(cell: Cell, dtype: torch.dtype) -> FieldKernel:
    if dtype not in REALS:
        raise Unsupported(f"{dtype} is not compiled for fields, only float32 and float64.")

    def source() -> str:
        planned = plan(cell)
        if not isinstance(planned, Plan) or planned.kind not in ("M1", "D", "S") or planned.same:
            raise Unsupported(f"steps of class {planned.kind} are not compiled for fields so far, only M1, D and S.")
        return render_field(planned)

    found, _ = library(f"{cell.name}-field", f"{fingerprint(cell)} {FIELD}", dtype, source)
    for function in (found.gatework_field_forward, found.gatework_field_backward):
        function.argtypes, function.restype = [ctypes.c_void_p], None
    found.gatework_facts.restype = ctypes.c_char_p
    facts = FieldFacts.from_json(found.gatework_facts().decode())
    return FieldKernel(
        facts, len(cell.gate_names), len(cell.states), found.gatework_field_forward, found.gatework_field_backward
    )


class FieldStep:
    """The struct that a kernel reads at one time step."""

    def __init__(self, job: FieldJob, channels: int, vectors: Tensor) -> None:
        facts = job.kernel.facts
        counts = {"": 1, "PRODUCTS": len(facts.products) + 1, "VECTORS": len(facts.vectors) + 1}
        counts["STATES"] = job.kernel.states + 1
        self.at, length = {}, 0
        for name, count in FIELD:
            self.at[name] = length
            length += counts[count]
        self.values = array("q", bytes(8 * length))
        places = torch.Size(job.spatial).numel()
        numbers = {
            "places": places,
            "C": channels,
            "threads": torch.get_num_threads(),
            "vector_places": vectors.shape[1],
        }
        for name, number in numbers.items():
            self.put(name, number)
        for k, vector in enumerate(vectors):
            self.point("vectors", vector, k)

    def put(self, name: str, number: int, k: int = 0) -> None:
        """Set a field that is a number."""
        self.values[self.at[name] + k] = number

    def point(self, name: str, tensor: Tensor | None, k: int = 0, offset: int = 0) -> None:
        """Point a field at element `offset` of a tensor's memory; the caller keeps the tensor until `run`."""
        self.values[self.at[name] + k] = 0 if tensor is None else tensor.data_ptr() + offset * tensor.itemsize

    def products(self, name: str, group: tuple[int, int, int], rows: Tensor, channels: int) -> None:
        """Point at the products of one operand: rows [n, P, count * C], or one row again and again."""
        _, first, count = group
        for k in range(count):
            self.point(name, rows, first + k, k * channels)
            self.put("sum_row", rows.stride(-2), first + k)

    def run(self, function: Any, images: int) -> None:
        """Call the kernel for the first images of what the fields point at."""
        self.put("images", images)
        function(self.values.buffer_info()[0])
