"""Every cell of the catalogue compiles, and goes once through what `EXAMPLES` go through in full."""

from __future__ import annotations

import pytest
import torch

from gatework.cells import catalogue
from tests.conformance.comparison import CELLS, DIFFERENT, DTYPES, NIGHTLY, Case, as_list, as_state, conforms, distance

TAKEN = list(CELLS) if NIGHTLY else [*catalogue(), *DIFFERENT]
CASES = {
    "ragged-both-directions": {"lengths": (3, 0, 5, 1, 5), "layer": {"bidirectional": True, "num_layers": 2}},
    "packed": {"lengths": (2, 5, 1, 5, 3), "form": "packed", "layer": {"bidirectional": True}},
    "one-step-of-one-row": {"T": 1, "B": 1, "H": 5},
    "one-unit-no-input": {"T": 3, "B": 2, "I": 0, "H": 1, "initial": False},
    "wide-batch-first-no-bias": {"T": 3, "B": 9, "I": 20, "H": 37, "layer": {"batch_first": True, "bias": False}},
}
if NIGHTLY:
    CASES["long-and-wide"] = {"T": 30, "B": 3, "I": 70, "H": 130, "layer": {"bidirectional": True}}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", DTYPES if NIGHTLY else DTYPES[:1], ids=str)
@pytest.mark.parametrize("cell", TAKEN)
def test_values_and_gradients(cell: str, dtype: torch.dtype, case: str):
    conforms(Case(cell, dtype=dtype, **CASES[case]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("cell", TAKEN)
def test_odd_memory_and_poisoned_padding(cell: str, threads: int):
    """Tensors that are not contiguous, NaN past every length: results and gradients are those of a clean call."""
    torch.set_num_threads(threads)
    case = Case(cell, T=4, B=3, I=5, H=19, lengths=(2, 4, 0))
    _, net = case.layers()
    (x, states), extra = case.inputs(), case.extra()
    past = (torch.arange(case.T)[:, None] >= torch.tensor(case.lengths))[..., None]
    found = []
    for odd in (False, True):
        inputs = [v.masked_fill(past, torch.nan if odd else 0.0) for v in (x, *extra.values())]
        if odd:
            inputs = [v.permute(2, 1, 0).contiguous().permute(2, 1, 0) for v in inputs]
            states = [torch.stack([s, s], -1)[..., 0] for s in states]
        inputs, states = ([v.detach().requires_grad_() for v in values] for values in (inputs, states))
        given = dict(zip(extra, inputs[1:], strict=True))
        y, finals = net(inputs[0], as_state(states), case.lengths, extra=given)
        total = y.square().sum() + sum(f.square().sum() for f in as_list(finals))
        sources = [*inputs, *states, *net.parameters()]
        gradients = torch.autograd.grad(total, sources, allow_unused=True)
        found.append([y, *as_list(finals), *(g for g in gradients if g is not None)])
    for clean, dirty in zip(*found, strict=True):
        assert torch.equal(clean, dirty)


@pytest.mark.parametrize("cell", TAKEN)
def test_streaming_and_rows_alone(cell: str):
    """A sequence in two calls, and each row of a batch by itself, are the whole; without gradients too."""
    case = Case(cell, T=5, B=3, I=4, H=9)
    _, net = case.layers()
    (x, states), extra = case.inputs(), case.extra()
    whole, finals = net(x, as_state(states), extra=extra)
    with torch.no_grad():
        first, middle = net(x[:2], as_state(states), extra={k: v[:2] for k, v in extra.items()})
        second, last = net(x[2:], middle, extra={k: v[2:] for k, v in extra.items()})
        alone = [net(x[:, b : b + 1], as_state([s[:, b : b + 1] for s in states]),
                     extra={k: v[:, b : b + 1] for k, v in extra.items()})[0] for b in range(case.B)]  # fmt: skip
    assert distance(whole, torch.cat([first, second])) <= 1e-5
    assert distance(whole, torch.cat(alone, 1)) <= 1e-5
    for a, b in zip(as_list(finals), as_list(last), strict=True):
        assert distance(a, b) <= 1e-5
