"""Derivatives against differences: `gradcheck` of the kernels, `gradgradcheck` of the reference, for every cell."""

from __future__ import annotations

import pytest
import torch

from gatework.nn import Recurrent
from tests.conformance.comparison import CELLS

SIZES = {"full": (3, 2, 2, 3, None), "ragged": (3, 3, 1, 2, (1, 3, 0)), "I0": (2, 2, 0, 3, None)}


def function(cell: str, backend: str, size: str):
    T, B, I, H, lengths = SIZES[size]  # noqa: E741
    layer = Recurrent(CELLS[cell], I, H, bidirectional=True, backend=backend, dtype=torch.float64)
    names = [name for name, _ in layer.named_parameters()]

    def call(x: torch.Tensor, *rest: torch.Tensor) -> tuple[torch.Tensor, ...]:
        states, params = rest[: len(layer.cell.states)], rest[len(layer.cell.states) :]
        hx = states[0] if len(states) == 1 else states
        y, finals = torch.func.functional_call(layer, dict(zip(names, params, strict=True)), (x, hx, lengths))
        return (y, finals) if isinstance(finals, torch.Tensor) else (y, *finals)

    tensors = [torch.randn(T, B, I), *(torch.randn(2, B, H) for _ in layer.cell.states), *layer.parameters()]
    return call, [t.detach().double().requires_grad_() for t in tensors]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("cell", CELLS)
def test_first(cell: str, size: str):
    call, tensors = function(cell, "cpp", size)
    assert torch.autograd.gradcheck(call, tensors, fast_mode=True)


@pytest.mark.parametrize("cell", CELLS)
def test_every_entry(cell: str):
    call, tensors = function(cell, "cpp", "full")
    assert torch.autograd.gradcheck(call, tensors)


@pytest.mark.parametrize("cell", CELLS)
def test_second_on_the_reference(cell: str):
    call, tensors = function(cell, "reference", "full")
    assert torch.autograd.gradgradcheck(call, tensors, fast_mode=True)


@pytest.mark.parametrize("cell", CELLS)
def test_second_on_a_kernel_is_refused(cell: str):
    call, tensors = function(cell, "cpp", "full")
    first = torch.autograd.grad(call(*tensors)[0].square().sum(), tensors, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        sum(g.sum() for g in first).backward()
