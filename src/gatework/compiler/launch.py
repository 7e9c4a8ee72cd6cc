"""One layer and direction of a cell over a batch of sequences, on the backend that fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gatework.cells.cell import Cell
from gatework.compiler import native, padded, transforms
from gatework.compiler.build import BuildError, Kernel, kernel
from gatework.compiler.call import Job
from gatework.compiler.eight_bits import has_eight_bits, restored
from gatework.compiler.graph import Unsupported
from gatework.compiler.ragged import Ragged
from gatework.compiler.unwatched import unwatched
from gatework.errors import InputError
from gatework.say import once

Backend = Literal["auto", "reference", "cpp"]


def check_backend(backend: str) -> Backend:
    """The name of a backend, checked.  Raises InputError for any other."""
    if backend not in get_args(Backend):
        raise InputError(f"backend is {backend!r}; expected one of {', '.join(get_args(Backend))}.")
    return backend  # type: ignore[return-value]


def recur(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    *,
    ragged: Ragged | None = None,
    batch_first: bool = False,
    reverse: bool = False,
    backend: Backend = "auto",
    extra: Mapping[str, Tensor] | None = None,
    seed: Tensor | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a cell over whole sequences.

    Args:
        cell: the equations.
        x: inputs [T, B, I], or packed rows [N, I] when `ragged` says so.
        states: initial states, each [B, its width]: H where the cell does not say otherwise.
        params: tensors by the names of `weights.parameter_shapes`; for inference also weights of eight bits with their
            scales, as `eight_bits.round_rows` makes them ("weight_hh" and "scale_hh").
        ragged: lengths of the sequences, or None when all are T long.
        batch_first: x is [B, T, I].
        reverse: run from each sequence's last step to its first.
        backend: "auto", "reference" or "cpp"; see `gatework.nn.Recurrent`.
        extra: further inputs of each step by declaration and name ("e.dt"), each [T, B, size] in the layout of x.
        seed: int64 [2], the seed of the cell's noise and the position of the first step; None for a cell without.

    Returns:
        outputs in the layout of x and the width of the first state, zero past a sequence's length, and final states.

    Raises Unsupported or BuildError where backend="cpp" cannot run, with the reason.
    """
    if has_eight_bits(params):
        return _eight_bits(cell, x, states, params, extra or {}, ragged, batch_first, reverse, backend)
    dtype, extra = _dtype(x, params), extra or {}
    inside = dtype if backend == "reference" else inner_dtype(cell, dtype)
    if any(t.dtype != inside for t in (x, *states, *params.values(), *extra.values())):  # a kernel takes one dtype
        x, *states = (t.to(inside) for t in (x, *states))
        params, extra = ({name: t.to(inside) for name, t in tensors.items()} for tensors in (params, extra))
    built = None if backend == "reference" else choose(cell, x, backend, (*states, *params.values(), *extra.values()))
    if built is None or 0 in x.shape[:-1] or (ragged is not None and ragged.empty):
        y, finals = padded.run(cell, x, states, params, extra, seed, ragged, batch_first, reverse)
    else:
        y, finals = native.run(cell, Job(built, batch_first, reverse, ragged), x, states, params, extra, seed)
    return (y, finals) if inside == dtype else (y.to(dtype), tuple(f.to(dtype) for f in finals))


def inner_dtype(cell: Cell, dtype: torch.dtype) -> torch.dtype:
    """What a compiled cell runs in: float32 for a shorter dtype that it has no kernel for, else the dtype itself."""
    short = dtype in (torch.bfloat16, torch.float16)
    return torch.float32 if short and isinstance(kernel_or_refusal(cell, dtype), Refusal) else dtype


def _dtype(x: Tensor, params: Mapping[str, Tensor]) -> torch.dtype:
    """What a call works in: the parameters' dtype; under autocast that of autocast, in place of float32."""
    dtype = next((p.dtype for p in params.values()), x.dtype)
    if dtype == torch.float32 and x.device.type != "meta" and torch.is_autocast_enabled(x.device.type):
        return torch.get_autocast_dtype(x.device.type)
    return dtype


def _eight_bits(
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    params: Mapping[str, Tensor],
    extra: Mapping[str, Tensor],
    ragged: Ragged | None,
    batch_first: bool,
    reverse: bool,
    backend: Backend,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """`recur` with weights of eight bits: by a kernel that multiplies them, or with the numbers they stand for."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in (x, *states, *extra.values())):
        raise InputError("weights of eight bits pass no gradient to the input or the states: use torch.no_grad().")
    choice = kernel_or_refusal(cell, torch.int8) if backend != "reference" else None
    empty = 0 in x.shape[:-1] or (ragged is not None and ragged.empty)
    transformed = not torch.compiler.is_compiling() and torch._C._functorch.peek_interpreter_stack() is not None
    if isinstance(choice, Kernel) and not empty and not transformed:
        return native.run(cell, Job(choice, batch_first, reverse, ragged), x, states, params, extra)
    if isinstance(choice, Refusal):
        once(f"eight bits {cell.name}", f"{cell.name} multiplies its weights of eight bits in float32: {choice.reason}")
    how: dict[str, Any] = {"ragged": ragged, "batch_first": batch_first, "reverse": reverse, "backend": backend}
    return recur(cell, x, states, restored(params), extra=extra, **how)


@dataclass(frozen=True)
class Refusal:
    """Why a cell runs on the reference backend."""

    reason: str
    error: Unsupported | BuildError


# by cell, then by dtype and the values of its options
_chosen: WeakKeyDictionary[Cell, dict[Any, Kernel | Refusal]] = WeakKeyDictionary()


def choose(cell: Cell, x: Tensor, backend: Backend = "auto", others: Sequence[Tensor] = ()) -> Kernel | None:
    """The kernel for a cell and its inputs; None for the reference, which is said once with the reason."""
    if x.device.type not in ("cpu", "meta"):
        choice: Kernel | Refusal = _refuse(
            Unsupported(f"the input is on {x.device}; kernels are compiled for the CPU so far.")
        )
    elif (watcher := transforms.unserved((x, *others))) is not None:
        choice = _refuse(Unsupported(f"kernels do not go through {watcher} so far."))
    else:
        choice = kernel_or_refusal(cell, x.dtype)
    if isinstance(choice, Kernel):
        return choice
    if backend == "cpp":
        raise choice.error
    _tell(cell, choice.reason)
    return None


def _tell(cell: Cell, reason: str) -> None:
    once(f"reference {cell.name} {reason}", f"{cell.name} runs on the reference backend, a Python loop: {reason}")


def kernel_or_refusal(cell: Cell, dtype: torch.dtype) -> Kernel | Refusal:
    """The kernel of a cell, or why there is none; decided once for each cell, its options and dtype."""
    options = (dtype, *(repr(getattr(cell, name)) for name in cell.options))
    known = _chosen.setdefault(cell, {})
    if options not in known:
        try:
            known[options] = unwatched(kernel, cell, dtype)
        except (Unsupported, BuildError) as error:
            known[options] = _refuse(error)
    return known[options]


# As torch.compiler.assume_constant_result does, which would import all of dynamo: a compiled model may come first.
kernel_or_refusal._dynamo_marked_constant = True  # type: ignore[attr-defined]
_tell._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _refuse(error: Unsupported | BuildError) -> Refusal:
    return Refusal(str(error), error)
