"""The compiled sum over all paths under autograd, and when it can be used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gatework.compiler import chain as compiled
from gatework.compiler.build import BuildError
from gatework.compiler.chain import Tables
from gatework.compiler.graph import Unsupported
from gatework.compiler.launch import Backend
from gatework.compiler.native import is_watched
from gatework.compiler.transforms import unserved
from gatework.nn import chain
from gatework.nn.chain import Chain
from gatework.say import once


def serves(scores: Tensor, tables: Tables, backend: Backend) -> bool:
    """Whether the kernel takes these; where it does not, this is said once with the reason.

    Raises Unsupported or BuildError, the reason, where the backend must be "cpp".
    """
    if backend == "reference":
        return False
    reason = _obstacle((scores, tables.transitions))
    if reason is None:
        return True
    if backend == "cpp":
        raise reason
    once(f"chain {reason}", f"the CRF runs on the reference backend, a Python loop over time: {reason}")
    return False


def _obstacle(tensors: tuple[Tensor, ...]) -> Unsupported | BuildError | None:
    if tensors[0].device.type != "cpu":
        return Unsupported(f"the scores are on {tensors[0].device}; chains are compiled for the CPU so far.")
    if torch.compiler.is_compiling() or is_watched(tensors) or torch._C._functorch.peek_interpreter_stack() is not None:
        return Unsupported("chains are compiled for eager mode so far, not for tracing or torch.func.")
    if (watcher := unserved(tensors)) is not None:
        return Unsupported(f"kernels do not go through {watcher} so far.")
    found = compiled.chain_library(tensors[0].dtype)
    return found if isinstance(found, Unsupported | BuildError) else None


def forbidding(tables: Tables) -> Chain:
    """The tables with -inf for what is not allowed."""
    return Chain(
        tables.transitions.masked_fill(~tables.legal, -torch.inf),
        tables.first.masked_fill(~tables.starts, -torch.inf),
        tables.last.masked_fill(~tables.ends, -torch.inf),
    )


def total(scores: Tensor, tables: Tables, lengths: Tensor, tags: Tensor | None = None) -> Tensor:
    """The log of the sum over all paths of each row, [B], less the score of its `tags`; in double precision.

    Raises UnfitError as `compiled.totals` does.
    """
    learned = (scores, tables.transitions, tables.first, tables.last)
    if torch.is_grad_enabled() and any(t.requires_grad for t in learned):
        return _Total.apply(*learned, tables, lengths, tags)  # type: ignore[no-untyped-call, no-any-return]
    return _difference(compiled.totals(scores.contiguous(), tables, lengths, tags, False))


def marginals(scores: Tensor, tables: Tables, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The probability of each tag at each step, [B, T, K], and `total`; neither has a gradient."""
    scores = scores.contiguous()
    sums = compiled.totals(scores, tables, lengths, None, True)
    return compiled.gradients(scores, tables, lengths, None, sums, of_tables=False)[0], sums.totals


def _difference(sums: compiled.Sums) -> Tensor:
    return sums.totals if sums.golds is None else sums.totals - sums.golds


class _Total(torch.autograd.Function):
    """Keeps the sums over the beginnings of paths; backward adds those over their ends."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        transitions: Tensor,
        first: Tensor,
        last: Tensor,
        tables: Tables,
        lengths: Tensor,
        tags: Tensor | None,
    ) -> Tensor:
        scores = scores.contiguous()
        sums = compiled.totals(scores, tables, lengths, tags, True)
        ctx.save_for_backward(scores, transitions, first, last, lengths, tags)
        ctx.sums, ctx.tables = sums, tables
        return _difference(sums)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *learned, lengths, tags = ctx.saved_tensors
        needs = ctx.needs_input_grad[:4]
        if torch.is_grad_enabled():  # create_graph=True: somebody will differentiate these gradients
            return (*_by_reference(ctx.tables, learned, lengths, tags, gradient, needs), None, None, None)
        found: tuple[Tensor | None, ...] = compiled.gradients(
            learned[0], ctx.tables, lengths, tags, ctx.sums, gradient.to(learned[0].dtype).contiguous(), any(needs[1:])
        )
        found += (None,) * (4 - len(found))
        return (*(d if need else None for d, need in zip(found, needs, strict=True)), None, None, None)


def _by_reference(
    tables: Tables,
    learned: list[Tensor],
    lengths: Tensor,
    tags: Tensor | None,
    gradient: Tensor,
    needs: tuple[bool, ...],
) -> list[Tensor | None]:
    """Gradients that can be differentiated."""
    scores, transitions, first, last = learned
    table = forbidding(Tables(transitions, first, last, tables.legal, tables.starts, tables.ends))
    found = chain.total(table, scores, lengths)
    if tags is not None:
        found = found - chain.path_score(table, scores, tags, lengths)
    wanted = [t for t, need in zip(learned, needs, strict=True) if need]
    given = iter(torch.autograd.grad(found, wanted, gradient.to(found.dtype), create_graph=True))
    return [next(given) if need else None for need in needs]
