"""One call of a compiled kernel, forward or backward: its memory and the struct that it reads."""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from gatework.compiler.build import Kernel, machine
from gatework.compiler.facts import Facts, StagedFacts
from gatework.compiler.hoisting import with_hoisted, without_hoisted
from gatework.compiler.ragged import Ragged
from gatework.compiler.render.cpp import CALL
from gatework.errors import InputError

_home = os.getpid()
_NONE: Mapping[str, Tensor] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Job:
    """A kernel and how its inputs lie."""

    kernel: Kernel
    batch_first: bool
    reverse: bool
    ragged: Ragged | None


@dataclass(frozen=True)
class Sizes:
    """Shape of one call: T steps of B rows (full_T with padding) and N rows in all."""

    T: int
    full_T: int
    B: int
    N: int
    I: int  # noqa: E741
    H: int

    @classmethod
    def of(cls, job: Job, x: Tensor, H: int) -> Sizes:
        """The shape of a call with input x."""
        ragged = job.ragged
        if ragged is not None and ragged.packed:
            T = len(ragged.batch_sizes)
            return cls(T, T, ragged.batch_sizes[0], x.shape[0], x.shape[1], H)
        B, full_T = x.shape[:2] if job.batch_first else (x.shape[1], x.shape[0])
        if ragged is None:
            return cls(full_T, full_T, B, full_T * B, x.shape[2], H)
        return cls(len(ragged.batch_sizes), full_T, B, sum(ragged.batch_sizes), x.shape[2], H)


def scale_name(weight: str) -> str:
    """The name of the scales of a weight of eight bits: "scale_hh" for "weight_hh"."""
    return f"scale{weight.removeprefix('weight')}"


def threads() -> int:
    """Threads that a kernel may use: torch's, or one in a forked process, which OpenMP does not survive."""
    return torch.get_num_threads() if os.getpid() == _home else 1


@lru_cache(maxsize=256)
def _fields(
    struct: tuple[tuple[str, str], ...], products: int, vectors: int, states: int, extras: int
) -> tuple[dict[str, int], int]:
    """Position of each field in the call, and the call's length."""
    counts = {"": 1, "PRODUCTS": products + 1, "VECTORS": vectors + 1, "STATES": states + 1, "EXTRAS": extras + 1}
    positions, at = {}, 0
    for name, count in struct:
        positions[name] = at
        at += counts[count]
    return positions, at


class Call:
    """The struct that a kernel reads, and the tensors that it points to."""

    def __init__(
        self, job: Job, sizes: Sizes, states: Sequence[Tensor], struct: tuple[tuple[str, str], ...] = CALL
    ) -> None:
        facts, ragged = job.kernel.facts, job.ragged
        if facts.same and sizes.I != sizes.H:
            raise InputError(
                f"the step adds inputs to states unit by unit, but I = {sizes.I} and H = {sizes.H} differ."
            )
        self.at, length = _fields(struct, len(facts.products), len(facts.vectors), len(states), len(facts.extras))
        self.values = array("q", bytes(8 * length))
        self.alive: list[Tensor] = []
        self.layout = job.batch_first, ragged is not None and ragged.packed
        put, at = self.values, self.at
        put[at["T"]], put[at["full_T"]], put[at["B"]], put[at["N"]] = sizes.T, sizes.full_T, sizes.B, sizes.N
        put[at["I"]], put[at["H"]], put[at["reverse"]] = sizes.I, sizes.H, job.reverse
        put[at["threads"]] = threads()
        if ragged is not None:
            put[at["packed"]] = ragged.packed
            put[at["batch_sizes"]], put[at["offsets"]] = ragged.sizes.data_ptr(), ragged.offsets.data_ptr()
            put[at["lengths"]] = ragged.lengths.data_ptr()
            put[at["order"]] = ragged.order.data_ptr() if ragged.order is not None else 0

    def tensor(self, name: str, tensor: Tensor, k: int = 0, row: int = 0) -> None:
        """Point a field at a tensor, or at element `row` of its memory.  The caller keeps the tensor until `run`."""
        self.values[self.at[name] + k] = tensor.data_ptr() + row * tensor.itemsize

    def keep(self, tensor: Tensor) -> Tensor:
        """Hold a temporary tensor until the call is over."""
        self.alive.append(tensor)
        return tensor

    def further(self, job: Job, extra: Mapping[str, Tensor], seed: Tensor | None) -> None:
        """Point the fields of further inputs and of the seed."""
        for k, name in enumerate(job.kernel.facts.extras):
            if name not in extra:
                raise InputError(f"the cell needs its input {name!r} at each step; give extra={{{name!r}: ...}}.")
            self.rows("extra", self.keep(extra[name].to(kept_dtype(extra[name].dtype))), k)
        if seed is not None:
            self.tensor("seed", seed)

    def rows(self, name: str, tensor: Tensor, k: int = 0) -> None:
        """Point a field at sequences, with their strides."""
        if tensor.stride(-1) != 1 and tensor.shape[-1] > 1:
            tensor = self.keep(tensor.contiguous())
        batch_first, packed = self.layout
        time, batch = (0, tensor.stride(0)) if packed else tensor.stride()[:2]
        if batch_first and not packed:
            time, batch = batch, time
        self.tensor(name, tensor, k)
        self.values[self.at[f"{name}_time"] + k], self.values[self.at[f"{name}_batch"] + k] = time, batch

    def weights(self, job: Job, params: Mapping[str, Tensor], H: int) -> None:
        """Point the fields of weights, biases and vectors."""
        facts = job.kernel.facts
        assert isinstance(facts, Facts)
        if "weight_ih" in params:  # a cell may have no gates
            self.tensor("w_ih", params["weight_ih"])
        if "bias_ih" in params:
            self.tensor("b_ih", params["bias_ih"])
        if "scale_ih" in params:
            self.tensor("w_scale", params["scale_ih"])
        for k, (weight, bias, block, _) in enumerate(facts.products):
            self.tensor("U", params[weight], k, block * H * H)
            if bias in params:
                self.tensor("b_hh", params[bias], k, block * H)
            if (scale := scale_name(weight)) in params:
                self.tensor("U_scale", params[scale], k, block * H)
        for k, (name, block) in enumerate(facts.vectors):
            self.tensor("vectors", params[name], k, block * H)

    def weight_gradients(self, job: Job, params: Mapping[str, Tensor], H: int) -> list[Tensor | None]:
        """Make room for the gradients of all parameters and point the fields to it."""
        facts, written = job.kernel.facts, {"weight_ih", "bias_ih"}
        assert isinstance(facts, Facts)
        d = {name: torch.empty_like(p) for name, p in params.items()}
        if "weight_ih" in d:
            self.tensor("dw_ih", d["weight_ih"])
        if "bias_ih" in d:
            self.tensor("db_ih", d["bias_ih"])
        blocks = [("dU", weight, block, H * H, k) for k, (weight, _, block, _) in enumerate(facts.products)]
        blocks += [("db_hh", bias, block, H, k) for k, (_, bias, block, _) in enumerate(facts.products) if bias in d]
        blocks += [("d_vectors", name, block, H, k) for k, (name, block) in enumerate(facts.vectors)]
        for field, name, block, size, k in blocks:
            self.tensor(field, d[name], k, block * size)
        sizes = {name: size for _, name, _, size, _ in blocks}
        for name, gradient in d.items():
            if name not in written and sum(b[1] == name for b in blocks) * sizes.get(name, 0) < gradient.numel():
                gradient.zero_()  # some of its matrices or vectors are never used by the step
        return list(d.values())

    def run(self, function: Any) -> None:
        """Call the kernel; raises MemoryError when it finds no room for its buffers."""
        if function(self.values.buffer_info()[0]):
            raise MemoryError("not enough memory for a kernel's buffers; use fewer or shorter sequences.")


def run_at_once(kernel: Kernel, function: Any, calls: Sequence[Call]) -> None:
    """Run calls of one kernel side by side, each on one thread.  Raises MemoryError as `Call.run` does."""
    team = threads()
    for call in calls:
        call.values[call.at["threads"]] = 1
    addresses = array("q", [call.values.buffer_info()[0] for call in calls])
    if kernel.together(function, addresses.buffer_info()[0], len(calls), team):
        raise MemoryError("not enough memory for a kernel's buffers; use fewer or shorter sequences.")


def kept_shapes(kernel: Kernel, N: int, widths: Sequence[int], input_size: int, itemsize: int) -> list[tuple[int, ...]]:
    """Shapes of what forward keeps for backward; the real call and its shape rule under tracing both ask here.

    Args:
        kernel: the kernel.
        N: rows in all: the batch's time steps, without padding.
        widths: units of each state.
        input_size: features of the input.
        itemsize: bytes of a number.

    Returns:
        saved values [N, S, H'], then the sequence of each state after the first [N, H'], widths padded to vectors.
    """
    if isinstance(kernel.facts, StagedFacts):
        from gatework.compiler.staged_call import layout

        return [(N, layout(kernel.facts, kernel.facts.hidden_size(tuple(widths)), input_size, itemsize).saved)]
    padded = padded_size(widths[0], itemsize)
    return [(N, kernel.facts.saved, padded), *((N, padded_size(width, itemsize)) for width in widths[1:])]


def padded_size(width: int, itemsize: int) -> int:
    """A row's length in whole vectors."""
    lanes = machine().vector_bytes // itemsize
    return -(-width // lanes) * lanes


def kept_dtype(dtype: torch.dtype) -> torch.dtype:
    """What a kernel for inputs of a dtype calculates in and keeps for backward: float32 for bfloat16."""
    return torch.float32 if dtype == torch.bfloat16 else dtype


def forward(
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    train: bool,
    extra: Mapping[str, Tensor] = _NONE,
    seed: Tensor | None = None,
) -> list[Tensor]:
    """Outputs, final states and, to train, what backward needs, in the shapes of `kept_shapes`."""
    params = with_hoisted(job.kernel.facts.hoisted, job.kernel.facts.own_gates, params)
    call, results = prepare_forward(job, x, states, params, train, extra, seed)
    call.run(job.kernel.forward)
    return results


def prepare_forward(
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    train: bool,
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
) -> tuple[Call, list[Tensor]]:
    """`forward` up to its run: the call, and what that will fill. `params` hold what is hoisted, and outlive it."""
    if isinstance(job.kernel.facts, StagedFacts):
        from gatework.compiler import staged_call

        return staged_call.prepare_forward(job, x, states, params, train, extra, seed)
    H = states[0].shape[1]
    sizes = Sizes.of(job, x, H)
    call = Call(job, sizes, states)
    y = x.new_empty((*x.shape[:-1], H))
    finals = [x.new_empty(s.shape) for s in states]
    call.rows("x", x)
    call.rows("y", y)
    call.weights(job, params, H)
    call.further(job, extra, seed)
    for k, (state, final) in enumerate(zip(states, finals, strict=True)):
        call.tensor("first", state, k)
        call.tensor("last", final, k)
    kept = []
    if train:
        widths = [s.shape[1] for s in states]
        dtype = kept_dtype(x.dtype)
        shapes = kept_shapes(job.kernel, sizes.N, widths, sizes.I, dtype.itemsize)
        kept = [x.new_empty(shape, dtype=dtype) for shape in shapes]
        call.values[call.at["train"]] = 1
        call.tensor("saved", kept[0])
        for k, sequence in enumerate(kept[1:], 1):
            call.tensor("sequence", sequence, k)
    return call, [y, *finals, *kept]


# of x, the states, the parameters and the extra inputs
Gradients = tuple[Tensor | None, list[Tensor | None], list[Tensor | None], list[Tensor | None]]


@dataclass(frozen=True)
class Wanted:
    """Which gradients somebody asked for: of x, of any initial state, of any parameter, of any extra input."""

    x: bool
    states: bool
    params: bool
    extra: bool = False


def backward(
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    results: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: Wanted,
    extra: Mapping[str, Tensor] = _NONE,
    seed: Tensor | None = None,
) -> Gradients:
    """Gradients of x, the states, the parameters and the extra inputs, from those of the outputs and final states."""
    if x.dtype == torch.bfloat16:
        return _backward_wide(job, x, states, params, results, gradients, wanted, extra, seed)
    hoisted = job.kernel.facts.hoisted
    if not hoisted:
        return _backward(job, x, states, params, results, gradients, wanted, extra, seed)
    own = job.kernel.facts.own_gates
    merged = with_hoisted(hoisted, own, params)
    dx, d_states, d_params, d_extra = _backward(job, x, states, merged, results, gradients, wanted, extra, seed)
    return dx, d_states, without_hoisted(hoisted, own, params, merged, d_params), d_extra


def _backward(
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    results: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: Wanted,
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
) -> Gradients:
    if isinstance(job.kernel.facts, StagedFacts):
        from gatework.compiler import staged_call

        return staged_call.backward(job, x, states, params, results, gradients, wanted, extra, seed)
    call, found = prepare_backward(job, x, states, params, results, gradients, wanted, extra, seed)
    call.run(job.kernel.backward)
    return found


def prepare_backward(
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    results: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: Wanted,
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
) -> tuple[Call, Gradients]:
    """`backward` of a pointwise kernel up to its run: the call, and what that will fill."""
    H = states[0].shape[1]
    call = Call(job, Sizes.of(job, x, H), states)
    kept = results[1 + len(states) :]
    call.rows("x", x)
    call.rows("y", results[0])
    call.weights(job, params, H)
    call.further(job, extra, seed)
    call.tensor("saved", kept[0])
    for k, sequence in enumerate(kept[1:], 1):
        call.tensor("sequence", sequence, k)
    if gradients[0] is not None:
        call.rows("gy", gradients[0])
    dx = x.new_empty(x.shape) if wanted.x else None
    if dx is not None:
        call.rows("dx", dx)
    d_states: list[Tensor | None] = [x.new_empty(s.shape) if wanted.states else None for s in states]
    for k, (state, d_state, gradient) in enumerate(zip(states, d_states, gradients[1:], strict=True)):
        call.tensor("first", state, k)
        if gradient is not None:
            call.tensor("g_last", call.keep(gradient.contiguous()), k)
        if d_state is not None:
            call.tensor("d_first", d_state, k)
    d_params: list[Tensor | None] = [None] * len(params)
    if wanted.params:
        d_params = call.weight_gradients(job, params, H)
    d_extra: list[Tensor | None] = [torch.empty_like(e) if wanted.extra else None for e in extra.values()]
    for name, gradient in zip(extra, d_extra, strict=True):
        if gradient is not None:
            call.rows("d_extra", gradient, job.kernel.facts.extras.index(name))
    return call, (dx, d_states, d_params, d_extra)


def _backward_wide(
    job: Job,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    results: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    wanted: Wanted,
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
) -> Gradients:
    """`backward` in float32 of a kernel whose tensors are bfloat16."""
    first, last = [s.float() for s in states], [None if g is None else g.float() for g in gradients]
    weights, further = ({name: t.float() for name, t in tensors.items()} for tensors in (params, extra))
    dx, *d = backward(job, x.float(), first, weights, [r.float() for r in results], last, wanted, further, seed)
    short: list[list[Tensor | None]] = [[None if t is None else t.to(x.dtype) for t in part] for part in ([dx], *d)]
    return short[0][0], short[1], short[2], short[3]
