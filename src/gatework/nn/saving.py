"""What a recurrent layer keeps for backward: everything, its outputs, or a state now and then."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gatework.compiler.ragged import Ragged
from gatework.errors import InputError

Save = Literal["gates", "states", "chunks"]
Result = tuple[Tensor, tuple[Tensor, ...]]
# (x, states, ragged, extra, seed) -> outputs and final states, of one layer and direction
Run = Callable[[Tensor, Sequence[Tensor], Ragged | None, Mapping[str, Tensor], Tensor | None], Result]


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
    ragged: Ragged | None,
    batch_first: bool,
    reverse: bool,
    extra: Mapping[str, Tensor],
    seed: Tensor | None,
) -> Result:
    """Run one layer and direction so that backward computes again what was not kept.

    "gates" keeps everything. "states" keeps the outputs, and backward runs the layer once more before its own pass, so
    that the rest is in memory for one layer at a time. "chunks" keeps the states at about sqrt(T) places, and backward
    runs one chunk of about sqrt(T) steps after the other.

    Args:
        run: the layer, as a function of the arguments that follow.
        save: see above; nothing is kept anyway where no gradient is wanted.
        x: inputs [T, B, I], [B, T, I] or packed [N, I].
        states: initial states, each [B, width].
        ragged: lengths, or None.
        batch_first: x is [B, T, I].
        reverse: the layer runs from each sequence's last step to its first.
        extra: further inputs of each step, laid out like x.
        seed: int64 [2]: seed and position of the first step; None without noise.

    Returns:
        outputs and final states, with the gradients of `run` itself.
    """
    axis = 1 if batch_first and not (ragged is not None and ragged.packed) else 0
    sizes = ragged.batch_sizes if ragged is not None and ragged.packed else None  # packed rows of each step
    T = x.shape[axis] if sizes is None else len(sizes)
    if save == "gates" or T == 0 or not torch.is_grad_enabled():
        return run(x, states, ragged, extra, seed)
    length = T if save == "states" else math.isqrt(T - 1) + 1
    starts = range(0, T, length)
    parts = [min(length, T - t) if sizes is None else sum(sizes[t : t + length]) for t in starts]
    xs = torch.split(x, parts, axis)  # not slices: the backward of split is one concatenation
    extras = {name: torch.split(e, parts, axis) for name, e in extra.items()}
    current, outputs = list(states), [x] * len(starts)
    for k in reversed(range(len(starts))) if reverse else range(len(starts)):
        start, stop = starts[k], min(starts[k] + length, T)
        part = None if ragged is None else ragged.between(start, stop)
        rows = current[0].shape[0] if sizes is None else sizes[start]
        running = [s[:rows] for s in current]
        further = {name: e[k] for name, e in extras.items()}
        outputs[k], finals = checkpoint(  # what it does at random comes from the seed
            run, xs[k], running, part, further, _later(seed, start), use_reentrant=False, preserve_rng_state=False
        )
        current = [torch.cat([f, s[rows:]]) if rows < s.shape[0] else f for f, s in zip(finals, current, strict=True)]
    return torch.cat(outputs, axis) if len(outputs) > 1 else outputs[0], tuple(current)


def _later(seed: Tensor | None, steps: int) -> Tensor | None:
    """The seed of the same sequence from a later step on."""
    return None if seed is None else torch.stack([seed[0], seed[1] + steps])
