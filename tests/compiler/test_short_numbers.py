"""bfloat16 and float16 layers against float64, forward and backward, in every layout and on every width of vectors."""

from __future__ import annotations

import platform
from typing import Any

import pytest
import torch

from gatework.compiler import build, call
from gatework.compiler.explain import explain
from gatework.compiler.launch import inner_dtype
from gatework.nn import LSTM, Recurrent, quantize
from tests.compiler.test_widths import WIDTHS
from tests.conformance.comparison import CELLS, Case, differences, distance, gradients, run

# Inputs, states and weights are given in the short dtype to both sides, and sums are float32. What differs: a state is
# rounded as it enters a product, results and gradients as they leave, and backward works on rounded outputs; each time
# by 2^-9 of itself at most (bfloat16) or 2^-11 (float16). Errors of single numbers average out in the norm, and grow a
# little from step to step: four such roundings are allowed.
SHORT = {torch.bfloat16: 4 * 2**-9, torch.float16: 4 * 2**-11}
FORMS: tuple[dict[str, Any], ...] = (
    {"T": 1, "B": 1, "I": 3, "H": 7},  # a step without gradients multiplies the weights as they lie
    {"T": 4, "B": 9, "I": 5, "H": 33, "layer": {"bidirectional": True, "batch_first": True}},
    {"T": 5, "B": 5, "I": 17, "H": 16, "lengths": (5, 3, 0, 2, 1), "layer": {"num_layers": 2}},
    {"T": 5, "B": 5, "I": 2, "H": 40, "lengths": (1, 5, 3, 2, 2), "form": "packed", "layer": {"bias": False}},
)


@pytest.fixture(autouse=True)
def conditions(poisoned_empty: None):
    torch.manual_seed(0)


def conforms(case: Case) -> None:
    truth, tested = case.layers("cpp")
    (x, states), extra = case.inputs(), case.extra()
    with torch.no_grad():
        weights = [torch.randn_like(r) for r in run(tested, case, x, states, extra)]
    expected, found = (gradients(layer, case, x, states, extra, weights) for layer in (truth, tested))
    assert all(value.dtype == case.dtype for value in found.values())
    wrong = list(differences(expected, found, SHORT[case.dtype]))
    assert wrong == [], f"{case}: {'; '.join(wrong)}"


@pytest.mark.parametrize("dtype", SHORT)
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_layouts_and_gradients(cell: str, dtype: torch.dtype):
    for form in FORMS:
        conforms(Case(cell, dtype=dtype, **form))


@pytest.mark.parametrize("cell", ["gru-reset-before", "layer-norm-lstm", "indy-lstm", "min-gru", "lstmp-3"])
def test_other_classes_work_in_float32_inside(cell: str):
    assert inner_dtype(CELLS[cell], torch.bfloat16) == torch.float32
    conforms(Case(cell, I=16, H=16, dtype=torch.bfloat16))


def test_zoneout_draws_what_float64_draws():
    options = {"zoneout": {"h": 0.1, "c": 0.5}, "recurrent_dropout": 0.25}
    layer = LSTM(3, 33, backend="cpp", **options).to(torch.bfloat16)
    truth = LSTM(3, 33, backend="reference", dtype=torch.float64, **options)
    truth.load_state_dict(layer.state_dict())
    x, seeds = torch.randn(5, 4, 3).bfloat16(), layer.seeds()
    assert distance(truth(x.double(), seeds=seeds)[0], layer(x, seeds=seeds)[0]) <= SHORT[torch.bfloat16]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int8])
@pytest.mark.parametrize("width", ["avx2", "sse2"])
def test_narrower_vectors(width: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    if width == "avx2" and not {"avx2", "fma"} <= build._processor_features():
        pytest.skip("needs a processor with AVX2")
    if width == "sse2" and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("needs an x86-64 processor")
    for module in (build, call):
        monkeypatch.setattr(module, "machine", lambda: WIDTHS[width])
    layer = Recurrent("peephole-lstm", 9, 37, bidirectional=True, backend="cpp")
    truth = Recurrent("peephole-lstm", 9, 37, bidirectional=True, backend="reference", dtype=torch.float64)
    for T, B, lengths in ((6, 5, None), (6, 5, (6, 3, 0, 1, 6)), (1, 2, None)):
        x = torch.randn(T, B, 9)
        if dtype == torch.int8:
            with torch.no_grad():
                assert distance(layer(x, lengths=lengths)[0], quantize(layer)(x, lengths=lengths)[0]) < 0.02
            continue
        layer, found = layer.to(dtype), []
        truth.load_state_dict(layer.state_dict())
        for each in (truth, layer):
            given = x.bfloat16().to(each.weight_ih_l0.dtype).requires_grad_()
            y, finals = each(given, lengths=lengths)
            total = y.float().sum() + sum(f.float().square().sum() for f in finals)
            found.append([y, *finals, *torch.autograd.grad(total, [given, *each.parameters()])])
        assert all(distance(a, b) <= SHORT[dtype] for a, b in zip(*found, strict=True))


def test_the_state_is_not_rounded_between_steps():
    """c grows by about 2^-10 a step: rounded to bfloat16 at each step, it would stay at 1."""
    layer, first = LSTM(1, 1, backend="cpp").to(torch.bfloat16), torch.ones(1, 1, 1).bfloat16()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih_l0.copy_(torch.tensor([-6.9375, 30, 30, 30]))
        _, (_, c) = layer(torch.zeros(512, 1, 1).bfloat16(), (0 * first, first))
    assert abs(c.item() - 1 - 512 * torch.tensor(-6.9375).sigmoid().item()) < 2**-7


def test_autocast():
    """A float32 layer works in autocast's dtype and gets float32 gradients."""
    for dtype in SHORT:
        layer = LSTM(5, 20, num_layers=2, backend="cpp")
        x = torch.randn(7, 3, 5, requires_grad=True)
        with torch.autocast("cpu", dtype):
            y, (h, c) = layer(x)
            again, _ = layer(x.to(dtype), (torch.zeros(2, 3, 20), torch.zeros(2, 3, 20)))
        assert {y.dtype, h.dtype, c.dtype, again.dtype} == {dtype} and distance(y, again) <= SHORT[dtype]
        (y.float().square().sum() + h.float().sum()).backward()
        found = [x.grad, *(p.grad for p in layer.parameters())]
        assert all(g is not None and g.dtype == torch.float32 for g in found)
        x.grad = None
        layer.zero_grad()
        exact, (h, _) = layer(x)
        (exact.square().sum() + h.sum()).backward()
        expected = [x.grad, *(p.grad for p in layer.parameters())]
        # weights and inputs are rounded too here: four roundings more
        assert all(distance(a, b) < 2 * SHORT[dtype] for a, b in zip(expected, found, strict=True))
        assert distance(exact, y) < 2 * SHORT[dtype]


def test_double_precision_stays_under_autocast():
    layer = LSTM(5, 20, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(7, 3, 5, dtype=torch.float64))[0].dtype == torch.float64


def test_special_numbers():
    """NaN stays NaN, whatever its bits, in its own row; infinity and the largest numbers come through."""
    layer = LSTM(3, 20, backend="cpp").to(torch.bfloat16)
    x = torch.randn(4, 3, 3).bfloat16()
    x[1, 0, 0], x[1, 1, 0] = torch.tensor([0x7F81, 0], dtype=torch.int16).view(torch.bfloat16)[0], float("inf")
    y = layer(x)[0]
    assert y[1:, 0].isnan().all() and not y[:, 2].isnan().any() and not y[0].isnan().any()


def test_torch_compile_keeps_the_shapes_of_what_is_saved():
    layer = LSTM(3, 20, backend="cpp").to(torch.bfloat16)
    x = torch.randn(4, 2, 3).bfloat16().requires_grad_()
    results = []
    for each in (layer, torch.compile(layer, fullgraph=True, backend="aot_eager")):
        y, (h, _) = each(x)
        results.append(
            [y, h, *torch.autograd.grad(y.float().square().sum() + h.float().sum(), [x, *layer.parameters()])]
        )
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize(
    ("cell", "dtype", "said"),
    [
        ("lstm", torch.bfloat16, "precision: products in bfloat16"),
        ("lstm", torch.float16, "precision: torch.float16 is converted to torch.float32"),
        ("mgu", torch.bfloat16, "precision: torch.bfloat16 is converted to torch.float32"),
    ],
)
def test_explain_says_what_a_layer_multiplies_in(cell: str, dtype: torch.dtype, said: str):
    assert said in str(explain(Recurrent(cell, 3, 8, dtype=dtype)))


def test_explain_of_a_quantized_layer():
    assert "precision: products of weights of eight bits" in str(explain(quantize(Recurrent("lstm", 3, 8))))
