"""Derivatives against differences in float64: of every cell's equations, and of the kernels of each class."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch

from gatework.nn import Recurrent
from tests.conformance.comparison import CELLS, IN_FLOAT64, Case, run

SIZES = {
    "full": Case("rnn", T=3, B=2, I=2, H=3),
    "ragged": Case("rnn", T=3, B=3, I=1, H=2, lengths=(1, 3, 0)),
    "I0": Case("rnn", T=2, B=2, I=0, H=3),
}
# The gradients of these go straight through a rounding: they are no derivative.
SMOOTH = [name for name in CELLS if name not in ("hm-lstm", "skip-lstm")]


def function(cell: str, backend: str, size: str, directions: int = 2):
    """A layer as a function of tensors (x, further inputs, states, parameters), and such tensors."""
    case = replace(SIZES[size], cell=cell, dtype=torch.float64, layer={"bidirectional": directions == 2})
    layer = Recurrent(CELLS[cell], case.I, case.H, backend=backend, dtype=torch.float64, **case.layer)
    (x, states), extra = case.inputs(), case.extra()
    names = [name for name, _ in layer.named_parameters()]

    def call(x: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
        further, rest = dict(zip(extra, rest, strict=False)), rest[len(extra) :]
        inputs, params = rest[: len(states)], dict(zip(names, rest[len(states) :], strict=True))
        bound = partial(functional, layer, params)
        return tuple(run(bound, case, x, list(inputs), further))

    tensors = [x, *extra.values(), *states, *layer.parameters()]
    masks = [value for name, value in extra.items() if name == "mask"]  # 0 or 1: nothing to differentiate by
    return call, [t.detach().double().requires_grad_(not any(t is mask for mask in masks)) for t in tensors]


def functional(layer: Recurrent, params: dict[str, torch.Tensor], *args: object, **further: object) -> object:
    return torch.func.functional_call(layer, params, args, further)


@pytest.mark.parametrize("cell", SMOOTH)
def test_of_the_equations(cell: str):
    call, tensors = function(cell, "reference", "full", directions=1)
    assert torch.autograd.gradcheck(call, tensors, fast_mode=True)


@pytest.mark.parametrize("cell", SMOOTH)
def test_second_of_the_equations(cell: str):
    call, tensors = function(cell, "reference", "full", directions=1)
    assert torch.autograd.gradgradcheck(call, tensors, fast_mode=True)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cell", IN_FLOAT64)
def test_of_kernels(cell: str, size: str):
    call, tensors = function(cell, "cpp", size)
    assert torch.autograd.gradcheck(call, tensors, fast_mode=True)


@pytest.mark.parametrize("cell", IN_FLOAT64)
def test_every_entry(cell: str):
    call, tensors = function(cell, "cpp", "full")
    assert torch.autograd.gradcheck(call, tensors)
