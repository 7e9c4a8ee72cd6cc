"""Sums and maxima over all paths of a linear chain, compiled: `native/chain.h`."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from gatework.compiler.build import REALS, BuildError, library
from gatework.compiler.graph import Unsupported
from gatework.compiler.render.cpp import THREADS, skeleton
from gatework.compiler.unwatched import unwatched
from gatework.errors import InputError

_FIELDS = (  # of ChainCall in native/chain.h, in its order
    *("B", "T", "K", "threads", "paths", "scores", "transitions", "first", "last", "legal", "starts", "ends"),
    *("lengths", "tags", "inner", "offsets", "totals", "golds", "weights"),
    *("d_scores", "d_transitions", "d_first", "d_last", "best", "best_scores"),
)
_PARTS = ("chain.h", "chain_totals.h", "chain_gradients.h", "chain_paths.h")


class UnfitError(InputError):
    """Lengths that are not in 0..T, or tags that are not on a legal path."""


@dataclass(frozen=True)
class Tables:
    """What does not depend on the input: transitions [K, K], first, last [K] and whether each is allowed (bool)."""

    transitions: Tensor
    first: Tensor
    last: Tensor
    legal: Tensor
    starts: Tensor
    ends: Tensor

    def named(self) -> dict[str, Tensor]:
        """Each under its field's name, in one piece."""
        return {name: value.contiguous() for name, value in vars(self).items()}


@dataclass(frozen=True)
class Sums:
    """What `totals` found and `gradients` needs.

    Attributes:
        totals, golds: [B] in double precision, and golds None without tags.
        inner, offsets: [B, T, W] and [B, T]; None unless kept.
    """

    totals: Tensor
    golds: Tensor | None
    inner: Tensor | None
    offsets: Tensor | None


@cache
def chain_library(dtype: torch.dtype) -> ctypes.CDLL | Unsupported | BuildError:
    """The library for numbers of a dtype, built where there is none yet; or why there is none."""
    if dtype not in REALS:
        return Unsupported(f"{dtype} is not compiled for chains, only {', '.join(map(str, REALS))}.")
    try:
        found, _ = unwatched(library, "chain", "chain", dtype, _source)
    except BuildError as error:
        return error
    found.gatework_chain_width.argtypes, found.gatework_chain_width.restype = [ctypes.c_int64], ctypes.c_int64
    for function in (found.gatework_chain_totals, found.gatework_chain_gradients, found.gatework_chain_best):
        function.argtypes = [ctypes.c_void_p]
    return found


def totals(scores: Tensor, tables: Tables, lengths: Tensor, tags: Tensor | None, keep: bool) -> Sums:
    """The log of the sum over all paths of each row, and the score of its `tags` where there are any.

    Args:
        scores: [B, T, K] in one piece, as all tensors.
        tables: of the same dtype.
        lengths: [B], whole numbers (long).
        tags: [B, T], long, or None.
        keep: keep what `gradients` needs.

    Raises UnfitError, whose words are left to the caller.
    """
    B, T, K = scores.shape
    run = _loaded(scores.dtype)
    inner = scores.new_empty((B, T, run.gatework_chain_width(K))) if keep else None
    offsets = scores.new_empty((B, T), dtype=torch.float64) if keep else None
    found = scores.new_empty(B, dtype=torch.float64)
    golds = None if tags is None else torch.empty_like(found)
    given = {"lengths": lengths, "tags": tags, "inner": inner, "offsets": offsets, "totals": found, "golds": golds}
    _call(run.gatework_chain_totals, scores, tables, given)
    return Sums(found, golds, inner, offsets)


def gradients(
    scores: Tensor,
    tables: Tables,
    lengths: Tensor,
    tags: Tensor | None,
    sums: Sums,
    weights: Tensor | None = None,
    of_tables: bool = True,
) -> tuple[Tensor, ...]:
    """Gradients of sum(weights * totals), less sum(weights * golds) where there are tags.

    Returns:
        those of scores, which are the probability of each tag at each step where weights are None (all 1) and there
        are no tags; and with `of_tables` those of transitions, first and last.
    """
    d_scores = torch.empty_like(scores)
    d_tables = [t.new_zeros(t.shape) for t in (tables.transitions, tables.first, tables.last)] if of_tables else []
    given: dict[str, Tensor | None] = {"lengths": lengths, "tags": tags, "weights": weights, "d_scores": d_scores}
    given |= {name: value for name, value in vars(sums).items() if name != "golds"}
    given |= dict(zip(("d_transitions", "d_first", "d_last"), d_tables, strict=False))
    _call(_loaded(scores.dtype).gatework_chain_gradients, scores, tables, given)
    return d_scores, *d_tables


def best(scores: Tensor, tables: Tables, lengths: Tensor, paths: int) -> tuple[Tensor, Tensor]:
    """The best paths of each row: tags [B, paths, T] (long) and their scores [B, paths] in double precision."""
    B, T, _ = scores.shape
    tags = torch.empty((B, paths, T), dtype=torch.long)
    found = scores.new_empty((B, paths), dtype=torch.float64)
    given = {"lengths": lengths, "best": tags, "best_scores": found}
    _call(_loaded(scores.dtype).gatework_chain_best, scores, tables, given, paths)
    return tags, found


def _loaded(dtype: torch.dtype) -> ctypes.CDLL:
    found = chain_library(dtype)
    if isinstance(found, Unsupported | BuildError):
        raise found
    return found


def _source() -> str:
    files = skeleton()
    return "\n".join([*(files[name] for name in ("vector.h", "threads.h", "tile.h", *_PARTS)), THREADS])


def _call(
    function: ctypes._NamedFuncPointer,
    scores: Tensor,
    tables: Tables,
    given: Mapping[str, Tensor | None],
    paths: int = 1,
) -> None:
    """Fill a ChainCall and hand it over."""
    tensors = {"scores": scores, **tables.named(), **given}  # held until the call is done
    values = dict(zip(("B", "T", "K"), scores.shape, strict=True)) | {
        "threads": torch.get_num_threads(),
        "paths": paths,
    }
    values |= {name: 0 if tensor is None else tensor.data_ptr() for name, tensor in tensors.items()}
    fields = (ctypes.c_int64 * len(_FIELDS))(*(values.get(name, 0) for name in _FIELDS))
    failed = function(ctypes.addressof(fields))
    if failed == 1:
        raise MemoryError("not enough memory for a chain's sums; use fewer rows or shorter ones.")
    if failed:
        raise UnfitError("lengths are not in 0..T, or tags are not on a legal path.")
