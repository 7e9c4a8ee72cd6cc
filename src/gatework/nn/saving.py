"""What a recurrent layer keeps for backward: everything, its outputs, or a state now and then."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gatework.compiler.ragged import Ragged
from gatework.errors import InputError

Save = Literal["gates", "states", "chunks"]
Tensors = Mapping[str, Tensor]
Result = tuple[Tensor, tuple[Tensor, ...]]
# (x, states, params, ragged, extra, seed) -> outputs and final states, of one layer and direction
Run = Callable[[Tensor, Sequence[Tensor], Tensors, Ragged | None, Tensors, Tensor | None], Result]


def check_save(save: str) -> Save:
    """How much is kept, checked.  Raises InputError for any other word."""
    if save not in get_args(Save):
        raise InputError(f"save is {save!r}; expected one of {', '.join(get_args(Save))}.")
    return save  # type: ignore[return-value]


def run_saving(
    run: Run,
    save: Save,
    x: Tensor,
    states: Sequence[Tensor],
    params: Tensors,
    ragged: Ragged | None,
    batch_first: bool,
    reverse: bool,
    extra: Tensors,
    seed: Tensor | None,
) -> Result:
    """Run one layer and direction so that backward computes again what was not kept.

    "gates" keeps everything. "states" keeps the outputs, and backward runs the layer once more before its own pass, so
    that the rest is in memory for one layer at a time. "chunks" keeps the states at about sqrt(T) places, and backward
    runs one chunk of about sqrt(T) steps after the other. Source: Chen et al., arXiv:1604.06174, section 4.

    Args:
        run: the layer, as a function of the arguments that follow.
        save: see above; nothing is kept anyway where no gradient is wanted.
        x: inputs [T, B, I], [B, T, I] or packed [N, I].
        states: initial states, each [B, width].
        params: parameters by name.
        ragged: lengths, or None.
        batch_first: x is [B, T, I].
        reverse: the layer runs from each sequence's last step to its first.
        extra: further inputs of each step, laid out like x.
        seed: int64 [2]: seed and position of the first step; None without noise.

    Returns:
        outputs and final states, with the gradients of `run` itself.
    """
    if save == "gates" or not torch.is_grad_enabled():
        return run(x, states, params, ragged, extra, seed)
    packed = ragged is not None and ragged.packed
    axis = 1 if batch_first and not packed else 0
    T = len(ragged.batch_sizes) if ragged is not None and packed else x.shape[axis]
    transformed = torch._C._functorch.peek_interpreter_stack() is not None  # vmap, jvp: what is kept is theirs to say
    wanted = any(t.requires_grad for t in (x, *states, *params.values(), *extra.values()))
    if T == 0 or transformed or not wanted or x.device.type == "meta":
        return run(x, states, params, ragged, extra, seed)
    if torch.compiler.is_compiling():  # there the graph is one piece, and torch has its own way to compute it again
        result: Result = checkpoint(run, x, states, params, ragged, extra, seed, use_reentrant=False)
        return result
    length = T if save == "states" else math.isqrt(T - 1) + 1
    cut = _Cut(run, T, length, axis, reverse, ragged, seed, tuple(params), tuple(extra), len(states))
    y, *finals = _Again.apply(cut, x, *states, *params.values(), *extra.values())  # type: ignore[no-untyped-call]
    return y, tuple(finals)


@dataclass(frozen=True, eq=False)
class _Part:
    """One chunk of a sequence.

    Attributes:
        place: where its steps lie along x's axis of time, or its rows in packed x: (first, how many).
        rows: rows of the batch that run in it.
        ragged: lengths within it, or None.
        seed: of its first step, or None.
    """

    place: tuple[int, int]
    rows: int
    ragged: Ragged | None
    seed: Tensor | None


@dataclass(frozen=True, eq=False)
class _Cut:
    """A layer's run in chunks of `length` steps."""

    run: Run
    T: int
    length: int
    axis: int
    reverse: bool
    ragged: Ragged | None
    seed: Tensor | None
    params: tuple[str, ...]
    extra: tuple[str, ...]
    states: int

    def named(self, tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor], dict[str, Tensor], dict[str, Tensor]]:
        """x, states, parameters and further inputs, from all in a row."""
        n, m = 1 + self.states, 1 + self.states + len(self.params)
        params = dict(zip(self.params, tensors[n:m], strict=True))
        return tensors[0], list(tensors[1:n]), params, dict(zip(self.extra, tensors[m:], strict=True))

    def parts(self, B: int) -> list[_Part]:
        """The chunks in the order in which they run."""
        found, at = [], 0
        for start in range(0, self.T, self.length):
            n, rows = min(self.length, self.T - start), B
            ragged = None if self.ragged is None else self.ragged.between(start, start + n)
            seed = None if self.seed is None else torch.stack([self.seed[0], self.seed[1] + start])
            if ragged is not None and ragged.packed:
                n, rows = sum(ragged.batch_sizes), ragged.batch_sizes[0]
            found.append(_Part((at, n), rows, ragged, seed))
            at += n
        return found[::-1] if self.reverse else found

    def piece(self, tensor: Tensor, part: _Part) -> Tensor:
        """A chunk's steps of a tensor that is laid out like x."""
        return tensor.narrow(self.axis, *part.place)


class _Again(torch.autograd.Function):
    """Forward keeps the states with which each chunk begins; backward runs one chunk after the other once more."""

    @staticmethod
    def forward(ctx: Any, cut: _Cut, *tensors: Tensor) -> tuple[Tensor, ...]:
        x, current, params, extra = cut.named(tensors)
        parts = cut.parts(current[0].shape[0])
        y, kept = x, []
        for k, part in enumerate(parts):
            kept.append(current)
            further = {name: cut.piece(e, part) for name, e in extra.items()}
            running = [s[: part.rows] for s in current]
            piece, finals = cut.run(cut.piece(x, part), running, params, part.ragged, further, part.seed)
            if k == 0:
                y = piece if len(parts) == 1 else piece.new_empty((*x.shape[:-1], piece.shape[-1]))
            if len(parts) > 1:
                cut.piece(y, part).copy_(piece)
            current = [
                torch.cat([f, s[part.rows :]]) if part.rows < s.shape[0] else f
                for f, s in zip(finals, current, strict=True)
            ]
        ctx.cut, ctx.parts, ctx.count = cut, parts, len(tensors)
        ctx.autocast = _autocast(x)
        ctx.save_for_backward(*tensors, *(s for states in kept for s in states))
        ctx.set_materialize_grads(False)
        return y, *current

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Any, ...]:
        tensors, kept = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        needs = ctx.needs_input_grad[1:]
        with ctx.autocast():
            if torch.is_grad_enabled():  # create_graph=True: somebody will differentiate these gradients
                return None, *_differentiable(ctx.cut, tensors, gradients, needs)
            return None, *_chunk_by_chunk(ctx.cut, ctx.parts, tensors, kept, gradients, needs)


def _autocast(x: Tensor) -> Callable[[], Any]:
    kind = x.device.type
    enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    return lambda: torch.autocast(kind, dtype, enabled)


def _differentiable(
    cut: _Cut, tensors: Sequence[Tensor], gradients: Sequence[Tensor | None], needs: Sequence[bool]
) -> Iterator[Tensor | None]:
    x, states, params, extra = cut.named(tensors)
    y, finals = cut.run(x, states, params, cut.ragged, extra, cut.seed)
    pairs = [(r, g) for r, g in zip((y, *finals), gradients, strict=True) if g is not None and r.requires_grad]
    sources = [t for t, need in zip(tensors, needs, strict=True) if need]
    found = iter(
        torch.autograd.grad([r for r, _ in pairs], sources, [g for _, g in pairs], create_graph=True, allow_unused=True)
    )
    return (next(found) if need else None for need in needs)


def _chunk_by_chunk(
    cut: _Cut,
    parts: Sequence[_Part],
    tensors: Sequence[Tensor],
    kept: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Gradients of all tensors: those of x and further inputs put together, of parameters added up."""
    n, m = 1 + cut.states, 1 + cut.states + len(cut.params)
    sums: list[Tensor | None] = [
        (torch.empty_like(t) if not n <= k < m else torch.zeros_like(t)) if need else None
        for k, (t, need) in enumerate(zip(tensors, needs, strict=True))
    ]
    gy, d_states = gradients[0], list(gradients[1:])
    fixed = [t.detach().requires_grad_(need) for t, need in zip(tensors[n:m], needs[n:m], strict=True)]
    for k in reversed(range(len(parts))):
        part, states = parts[k], kept[k * cut.states : (k + 1) * cut.states]
        running = [s[: part.rows].detach().requires_grad_() for s in states]
        moving = {
            j: cut.piece(tensors[j], part).detach().requires_grad_(needs[j]) for j in (0, *range(m, len(tensors)))
        }
        given = [moving[0], *running, *fixed, *(moving[j] for j in range(m, len(tensors)))]
        x, running, params, extra = cut.named(given)
        with torch.enable_grad():
            y, finals = cut.run(x, running, params, part.ragged, extra, part.seed)
        wanted = [None if gy is None else cut.piece(gy, part)]
        wanted += [None if d is None else d[: part.rows] for d in d_states]
        pairs = [(r, g) for r, g in zip((y, *finals), wanted, strict=True) if g is not None and r.requires_grad]
        sources = [j for j, t in enumerate(given) if t.requires_grad]
        results, by = [r for r, _ in pairs], [g for _, g in pairs]
        found = torch.autograd.grad(results, [given[j] for j in sources], by, allow_unused=True) if pairs else ()
        d = dict(zip(sources, found, strict=False))
        _collect(cut, part, sums, d, n, m)
        d_states = [_with_rest(d.get(1 + j), d_states[j], states[j], part.rows) for j in range(cut.states)]
    for j, d_state in enumerate(d_states, 1):
        sums[j] = d_state if needs[j] else None
    return sums


def _collect(
    cut: _Cut, part: _Part, sums: Sequence[Tensor | None], d: Mapping[int, Tensor | None], n: int, m: int
) -> None:
    """Put the gradients of one chunk where they belong; tensors n to m are parameters."""
    for j, total in enumerate(sums):
        new = d.get(j)
        if total is None or 1 <= j < n:
            continue
        if n <= j < m:
            if new is not None:
                total.add_(new)
        elif new is None:
            cut.piece(total, part).zero_()
        else:
            cut.piece(total, part).copy_(new)


def _with_rest(d: Tensor | None, later: Tensor | None, state: Tensor, rows: int) -> Tensor | None:
    """The gradient of a state before a chunk in which only its first rows ran."""
    if rows == state.shape[0]:
        return d
    running = torch.zeros_like(state[:rows]) if d is None else d
    rest = torch.zeros_like(state[rows:]) if later is None else later[rows:]
    return torch.cat([running, rest])
