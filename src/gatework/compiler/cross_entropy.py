"""The cross-entropy of a softmax over many words, with its gradients, in one call: `native/cross_entropy.h`."""

from __future__ import annotations

import ctypes
from functools import cache

import torch
from torch import Tensor

from gatework.compiler.build import REALS, BuildError, library
from gatework.compiler.native import is_watched
from gatework.compiler.render.cpp import THREADS, skeleton

_DEEPEST = 512  # rows worked on together at most: a panel of their scores stays in the second cache
_ALONE = 1 << 20  # multiplications of a product below which a second thread would come too late


def fits(h: Tensor, weight: Tensor, bias: Tensor) -> bool:
    """Whether there is a kernel for these, and nobody watches who would miss what it does."""
    same = h.dtype == weight.dtype == bias.dtype and h.device == weight.device == bias.device
    return same and not is_watched((h, weight, bias)) and _library(h.dtype) is not None


def cross_entropy(
    h: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, most: int, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """-log softmax(h W' + b) at the targets, and the gradients of its sum.

    Args:
        h: [N, D], N >= 1.
        weight: W [V, D].
        bias: b [V].
        targets: int64 [N] in 0..V-1; not looked at here.
        most: scores held at a time, unless one row has more.
        wanted: whether the gradients of h, weight and bias are.

    Returns the losses [N], and each gradient or None.  Raises MemoryError.
    """
    run = _library(h.dtype)
    assert run is not None
    (N, D), V = h.shape, len(weight)
    h, weight, bias, targets = (t.detach().contiguous() for t in (h, weight, bias, targets))
    losses = h.new_empty(N)
    made = [torch.empty_like(t) if want else None for t, want in zip((h, weight, bias), wanted, strict=True)]
    blocks = -(-N // max(1, min(_DEEPEST, most // V)))
    threads = torch.get_num_threads() if N * D * V >= _ALONE else 1
    addresses = (0 if t is None else t.data_ptr() for t in (h, weight, bias, targets, losses, *made))
    if run.gatework_cross_entropy(*addresses, N, D, V, -(-N // blocks), threads):
        raise MemoryError("not enough memory for the scores of a part of the rows; use smaller batches.")
    return losses, made


@cache
def _library(dtype: torch.dtype) -> ctypes.CDLL | None:
    if dtype not in REALS:
        return None
    try:
        found, _ = library("cross-entropy", "cross_entropy", dtype, _source)
    except BuildError:  # said where a cell's own kernel is built
        return None
    found.gatework_cross_entropy.argtypes = [*[ctypes.c_void_p] * 8, *[ctypes.c_int64] * 5]
    return found


def _source() -> str:
    files = skeleton()
    return "\n".join([*(files[name] for name in ("vector.h", "threads.h", "tile.h", "cross_entropy.h")), THREADS])
