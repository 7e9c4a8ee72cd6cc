"""`LSTM(proj_size=...)` is torch.nn's: parameters, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from gatework.nn import LSTM

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
T, B, I, H, P = 7, 5, 4, 19, 6  # noqa: E741
OPTIONS = [
    {},
    {"batch_first": True, "bias": False},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3, "bias": False, "bidirectional": True, "batch_first": True},
]


def pair(options: dict, backend: str, dtype: torch.dtype) -> tuple[torch.nn.LSTM, LSTM]:
    theirs = torch.nn.LSTM(I, H, proj_size=P, **options).to(dtype)
    ours = LSTM(I, H, proj_size=P, backend=backend, **options).to(dtype)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def results(layer: torch.nn.Module, x: Tensor | PackedSequence, hx: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Outputs, states, and gradients of the states and parameters (of x too, where it is no PackedSequence)."""
    y, (h, c) = layer(x, hx)
    data = y.data if isinstance(y, PackedSequence) else y
    sources = [*hx, *layer.parameters()] + ([x] if isinstance(x, Tensor) else [])
    total = data.sin().sum() + h.cos().sum() + c.square().sum()
    return [data, h, c, *torch.autograd.grad(total, sources)]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("backend", ["reference", "auto"])
def test_values_and_gradients(backend: str, options: dict):
    torch.manual_seed(0)
    theirs, ours = pair(options, backend, torch.float64)
    shape = (B, T, I) if options.get("batch_first") else (T, B, I)
    rows = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    hx = tuple(torch.randn(rows, B, n, dtype=torch.float64, requires_grad=True) for n in (P, H))
    for a, b in zip(results(ours, x, hx), results(theirs, x, hx), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    packed = pack_padded_sequence(x.detach(), [3, 7, 1, 7, 5], bool(options.get("batch_first")), enforce_sorted=False)
    for a, b in zip(results(ours, packed, hx), results(theirs, packed, hx), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_single_precision_of_kernels():
    torch.manual_seed(0)
    theirs, ours = pair(OPTIONS[2], "auto", torch.float32)
    x, hx = torch.randn(T, B, I, requires_grad=True), tuple(torch.randn(4, B, n, requires_grad=True) for n in (P, H))
    for a, b in zip(results(ours, x, hx), results(theirs, x, hx), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_parameters_have_torchs_names_shapes_and_order(options: dict):
    theirs, ours = pair(options, "reference", torch.float32)
    assert [(n, p.shape) for n, p in ours.named_parameters()] == [(n, p.shape) for n, p in theirs.named_parameters()]
    theirs.load_state_dict(ours.state_dict())
    for a, b in zip(ours.all_weights, theirs.all_weights, strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a, b, strict=True))
    assert ours.proj_size == P


def test_one_sequence():
    theirs, ours = pair({}, "reference", torch.float32)
    x, hx = torch.randn(T, I), (torch.randn(1, P), torch.randn(1, H))
    torch.testing.assert_close(ours(x, hx), theirs(x, hx))
