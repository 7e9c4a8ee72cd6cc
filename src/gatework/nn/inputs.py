"""What a recurrent layer is called with: states and further inputs of each step, checked and laid out like x."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gatework.cells import Cell
from gatework.cells.declarations import Extra
from gatework.compiler.ragged import Ragged
from gatework.errors import InputError

State = Tensor | tuple[Tensor, ...]
Further = Mapping[str, Tensor | PackedSequence]


def check_arguments(input_size: int, hidden_size: int, num_layers: int, dropout: float) -> None:
    """Raise InputError for sizes that are no whole numbers or too small, and for a dropout outside 0..1."""
    for name, value, least in (("input_size", input_size, 0), ("hidden_size", hidden_size, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(f"{name} is {value!r}; expected a whole number >= {least}.")
    if not isinstance(num_layers, int) or isinstance(num_layers, bool) or num_layers < 1:
        raise InputError(f"num_layers is {num_layers!r}; expected a whole number >= 1.")
    if not isinstance(dropout, int | float) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
        raise InputError(f"dropout is {dropout!r}; expected a probability in 0..1.")
    if dropout and num_layers == 1:
        warnings.warn("dropout acts between layers, so it does nothing with num_layers=1.", UserWarning, stacklevel=4)


def check_input(x: Tensor, dims: tuple[int, ...], input_size: int, weight: Tensor | None) -> None:
    """Raise InputError unless x is [..., I] with one of the numbers of axes, and of the weights' dtype and device."""
    if not isinstance(x, Tensor):
        raise InputError(f"input is {type(x).__name__}; expected a tensor or a PackedSequence.")
    if x.dim() not in dims:
        raise InputError(f"input has shape {tuple(x.shape)}; expected [T, B, {input_size}] or [T, {input_size}].")
    if x.shape[-1] != input_size:
        raise InputError(f"input has {x.shape[-1]} features (shape {tuple(x.shape)}); input_size is {input_size}.")
    if weight is None:
        return
    if x.dtype != weight.dtype and not (x.is_floating_point() and torch.is_autocast_enabled(x.device.type)):
        raise InputError(
            f"input is {x.dtype}, the layer's weights are {weight.dtype}; convert one: x.to({weight.dtype})."
        )
    if x.device != weight.device:
        raise InputError(f"input is on {x.device}, the layer on {weight.device}; move one with .to(...).")


def check_states(cell: Cell, hx: State | None, shapes: Sequence[tuple[int, ...]], like: Tensor) -> list[Tensor]:
    """The initial states as a list of [L * D, B, width]; zeros for None.  Raises InputError for others."""
    if hx is None:
        return [like.new_zeros(shape) for shape in shapes]
    given, names = (hx,) if isinstance(hx, Tensor) else tuple(hx), cell.states
    if len(given) != len(names):
        raise InputError(f"hx has {len(given)} state(s); cell {cell.name} has {len(names)}: {', '.join(names)}.")
    for name, state, shape in zip(names, given, shapes, strict=True):
        if not isinstance(state, Tensor):
            raise InputError(f"state {name} is {type(state).__name__}; expected a tensor {shape}.")
        if state.shape != shape:
            width = cell.expression("s", name)
            raise InputError(
                f"state {name} has shape {tuple(state.shape)}; expected {shape} = [layers * directions, B, {width}]."
            )
        if state.dtype != like.dtype and not torch.is_autocast_enabled(like.device.type):
            raise InputError(f"state {name} is {state.dtype}, the input {like.dtype}; convert one.")
        if state.device != like.device:
            raise InputError(f"state {name} is on {state.device}, the input on {like.device}; move it: .to(...).")
    return list(given)


def each_state(state: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """One state or each of several, changed."""
    return function(state) if isinstance(state, Tensor) else tuple(function(s) for s in state)


def state_of_one(hx: State | None) -> State | None:
    """Initial states of one sequence, [L * D, H], as those of a batch of one.  Raises InputError for other shapes."""
    if hx is None:
        return None
    for state in (hx,) if isinstance(hx, Tensor) else hx:
        if not isinstance(state, Tensor) or state.dim() != 2:
            got = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
            raise InputError(f"one sequence [T, I] came with a state {got}; expected [L * directions, H].")
    batch: State = each_state(hx, lambda s: s.unsqueeze(1))
    return batch


def extra_of_one(extra: Further | None, x: Tensor, axis: int) -> Further | None:
    """Further inputs of one sequence x [T, I], each [T, size] or [T], as those of a batch of one, a new axis `axis`.

    Raises InputError for other shapes.
    """
    if extra is None:
        return None
    batch = {}
    for name, value in extra.items():
        if not isinstance(value, Tensor) or value.shape[:1] != x.shape[:1]:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(f"extra {name!r} is {got}; one sequence has {x.shape[0]} steps: expected [T, size].")
        batch[name] = value.unsqueeze(axis)
    return batch


def further_inputs(
    cell: Cell,
    extra: Further | None,
    x: Tensor,
    sizes: Mapping[str, int],
    ragged: Ragged | None,
    batch_first: bool,
) -> dict[str, Tensor]:
    """The inputs that a cell takes at each step beside x, by "declaration.name", each [..., size] in the layout of x.

    Args:
        cell: the equations.
        extra: as given to the layer, by name or "declaration.name"; the last axis may be left out where size is 1.
        x: the layer's input [T, B, I], [B, T, I] or packed [N, I].
        sizes: width of each by "declaration.name".
        ragged: lengths, or None.
        batch_first: x is [B, T, I].

    Raises InputError for one that the cell does not take, lacks, or of another shape, dtype or device.
    """
    entries = {f"{key}.{name}": (name, declared) for key, name, declared in cell.entries(Extra)}
    known = ", ".join(name for name, _ in entries.values()) or "none"
    given: dict[str, Tensor | PackedSequence] = {}
    for name, value in (extra or {}).items():
        found = [full for full, (short, _) in entries.items() if name in (full, short)]
        if len(found) != 1:
            why = "is not unique; name it as declaration.name" if found else "is not one of them"
            raise InputError(f"extra has {name!r}, which {why}; cell {cell.name} takes at each step: {known}.")
        given[found[0]] = value
    result = {}
    for full, (name, declared) in entries.items():
        shape = (*x.shape[:-1], sizes[full])
        if full in given:
            result[full] = _like(x, given[full], name, shape)
        elif declared.default is None:
            raise InputError(f"cell {cell.name} needs its input {name!r} at each step; give extra={{{name!r}: ...}}.")
        elif declared.default == "position":
            result[full] = _positions(x, ragged, batch_first).expand(shape)
        else:
            result[full] = torch.full((), declared.default, dtype=x.dtype, device=x.device).expand(shape)
    return result


def _like(x: Tensor, value: Tensor | PackedSequence, name: str, shape: tuple[int, ...]) -> Tensor:
    tensor = value.data if isinstance(value, PackedSequence) else value
    if not isinstance(tensor, Tensor):
        raise InputError(f"extra {name!r} is {type(tensor).__name__}; expected a tensor {shape}.")
    if shape[-1] == 1 and tensor.shape == shape[:-1]:
        tensor = tensor.unsqueeze(-1)
    if tensor.shape != shape:
        raise InputError(f"extra {name!r} has shape {tuple(tensor.shape)}; expected {shape}, laid out like the input.")
    if tensor.device != x.device:
        raise InputError(f"extra {name!r} is on {tensor.device}, the input on {x.device}; move one: .to(...).")
    if tensor.is_complex() or (tensor.is_floating_point() and tensor.dtype != x.dtype):
        raise InputError(f"extra {name!r} is {tensor.dtype}, the input {x.dtype}; convert one.")
    return tensor.to(x.dtype)  # masks and counts come as bools and whole numbers


def _positions(x: Tensor, ragged: Ragged | None, batch_first: bool) -> Tensor:
    """The place of each row of x in its sequence, [..., 1]."""
    if ragged is not None and ragged.packed:
        steps = torch.arange(len(ragged.batch_sizes)).repeat_interleave(ragged.sizes)
        return steps.to(x.device, x.dtype).unsqueeze(-1)
    steps = torch.arange(x.shape[1 if batch_first and x.dim() == 3 else 0], device=x.device, dtype=x.dtype)
    if x.dim() == 2:
        return steps.unsqueeze(-1)
    return steps.view(1, -1, 1) if batch_first else steps.view(-1, 1, 1)
