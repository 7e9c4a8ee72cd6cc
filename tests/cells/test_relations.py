"""What the papers say of their cells beyond one step: special cases, conserved quantities, starts, hard numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from gatework.cells import find
from gatework.compiler.weights import views
from gatework.nn import Recurrent

T, B, I, H = 7, 3, 4, 8  # noqa: E741
Entries = dict[str, Tensor]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def layer_of(name: str, width: int = I, **options: object) -> Recurrent:
    return Recurrent(find(name, **options), width, H, backend="reference", dtype=torch.float64)


def entries(layer: Recurrent) -> Entries:
    """The layer's parameters by the names of `Cell.initialise`; changing one in place changes the layer."""
    named = {full.removesuffix("_l0"): value for full, value in layer.state_dict().items()}
    return views(layer.cell, named, layer.hidden_size, layer.input_size)


@dataclass
class Special:
    """With these options, inputs of each step and parameters a cell computes what the cell `plain` does."""

    plain: str
    options: dict[str, object] = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    change: Callable[[Entries], object] = lambda _: None


def never_skips(w: Entries) -> None:
    w["P.c"].zero_()
    w["bias.P.c"].fill_(40.0)


def always_open(w: Entries) -> None:
    for name, value in {"k.tau": 1.0, "k.shift": 0.0, "k.ratio": 1.0, "p.i": 0.0, "p.f": 0.0, "p.o": 0.0}.items():
        w[name].fill_(value)


SPECIAL = {
    "t-lstm": Special("lstm", extra={"dt": torch.zeros(T, B)}),
    "mogrifier-lstm": Special("lstm", {"rounds": 0}),
    "lstmp": Special("lstm", change=lambda w: torch.nn.init.eye_(w["V.h"])),
    "mi-lstm": Special("lstm", change=lambda w: [w[f"alpha.{gate}"].zero_() for gate in "ifgo"]),
    "skip-lstm": Special("lstm", change=never_skips),
    "fuzzy-lstm": Special("lstm", change=lambda w: [w[f"width.{gate}"].fill_(-40.0) for gate in "ifo"]),
    "phased-lstm": Special("lstm", extra={"t": torch.full((T, B), 0.5)}, change=always_open),
    "clockwork": Special("rnn", {"groups": 1}),
    "augru": Special("gru-flipped", extra={"a": torch.ones(T, B)}),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_special_case(name: str):
    special = SPECIAL[name]
    flipped = special.plain == "gru-flipped"  # the update gate says how far to move, not how much to keep
    plain, layer = layer_of("gru" if flipped else special.plain), layer_of(name, **special.options)
    ours = entries(layer)
    for entry, value in entries(plain).items():
        same = entry if entry in ours else entry.replace("bias.", "bias.W.").replace("x.", "W.")
        if same in ours:
            ours[same].copy_(-value if flipped and entry.endswith(".z") else value)
    if "bias.W.i" in ours:
        for gate in "ifgo":
            ours[f"bias.W.{gate}"].copy_(entries(plain)[f"bias.{gate}"])
    special.change(ours)
    x = torch.randn(T, B, I, dtype=torch.float64)
    extra = {key: value.double() for key, value in special.extra.items()}
    torch.testing.assert_close(layer(x, extra=extra)[0], plain(x)[0])


def test_mass_is_conserved():
    layer = layer_of("mc-lstm")
    x, mass = torch.randn(T, B, I, dtype=torch.float64), torch.rand(T, B, 1, dtype=torch.float64)
    y, (_, c) = layer(x, extra={"mass": mass})
    torch.testing.assert_close(y.sum((0, 2)) + c[0].sum(1), mass.sum((0, 2)))


def test_legendre_memory_delays_its_input():
    """m decodes to u(t - r theta) by the shifted Legendre polynomials, for every r in 0..1."""
    order, theta, steps = 12, 60, 200
    layer = layer_of("lmu", 1, order=order, theta=float(theta))
    w = entries(layer)
    w["ex.u"].fill_(1.0), w["eh.u"].zero_()
    u = torch.sin(2 * math.pi * torch.arange(steps, dtype=torch.float64) / 80)[:, None, None]
    _, (_, m) = layer(u)
    for lag in (0, 15, 30, 60):
        r, polynomials = 2 * lag / theta - 1, [1.0, 2 * lag / theta - 1]
        for n in range(1, order - 1):
            polynomials.append(((2 * n + 1) * r * polynomials[n] - n * polynomials[n - 1]) / (n + 1))
        decoded = float((m.detach()[0, 0] * torch.tensor(polynomials, dtype=torch.float64)).sum())
        assert decoded == pytest.approx(float(u[steps - 1 - lag]), abs=0.06), lag


@pytest.mark.parametrize("name", ["slstm", "min-lstm", "min-gru", "rg-lru", "lstm", "cfc", "ltc"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_huge_preactivations_stay_finite(name: str, dtype: torch.dtype):
    layer = Recurrent(name, I, H, backend="reference", dtype=dtype)
    x = (1e4 * torch.randn(50, B, I, dtype=dtype)).requires_grad_()
    y, _ = layer(x)
    y.sum().backward()
    assert y.isfinite().all() and x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in layer.parameters() if p.grad is not None)


def test_missing_values_may_be_anything():
    layer = layer_of("gru-d")
    mask = (torch.rand(T, B, I) > 0.5).double()
    gap = torch.rand(T, B, I, dtype=torch.float64)
    seen = torch.randn(T, B, I, dtype=torch.float64)
    found = []
    for unseen in (0.0, math.nan):
        layer.zero_grad()
        x = torch.where(mask > 0, seen, unseen)
        y, _ = layer(x, extra={"mask": mask, "gap": gap})
        y.square().sum().backward()
        found.append([y, *(p.grad for p in layer.parameters())])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_copy_flush_and_update():
    """Layer 2 copies its state while layer 1 finds no boundary."""
    layer = layer_of("hm-lstm")
    w = entries(layer)
    for name in ("Mz.own1_z", "Mz.above1_z", "x.z"):
        w[name].zero_()
    for bias, rests in ((-1.0, True), (1.0, False)):
        w["bias.z"].fill_(bias), w["bias.Mz.own1_z"].zero_(), w["bias.Mz.above1_z"].zero_()
        start = [torch.randn(1, B, width, dtype=torch.float64) for width in layer.state_sizes]
        start[3].zero_(), start[6].zero_()  # no boundary before
        x = torch.randn(1, B, I, dtype=torch.float64)
        _, new = layer(x, tuple(start))
        moved = {name: not torch.equal(a, b) for name, a, b in zip(layer.cell.states, start, new, strict=True)}
        assert moved["h1"] and moved["c1"]
        assert moved["h2"] is moved["c2"] is not rests
        assert (new[3] == (0.0 if rests else 1.0)).all(), "a boundary is 0 or 1 exactly"


STARTS: dict[str, Callable[[Entries], bool]] = {
    "irnn": lambda w: torch.equal(w["U.a"], torch.eye(H, dtype=torch.float64)) and not w["bias.a"].any(),
    "ind-rnn": lambda w: bool(((w["u.a"] >= 0) & (w["u.a"] <= 1)).all()),
    "recurrent-highway": lambda w: all((w[f"bias.U.t{k}"] == -2).all() for k in range(4)),
    "skip-lstm": lambda w: bool((w["bias.P.c"] == 1).all()),
    "slstm": lambda w: bool(w["bias.f"][0] == 5) and bool(w["bias.f"][-1] == -7),
    "clockwork": lambda w: w["period.t"].tolist() == [1, 1, 2, 2, 4, 4, 8, 8],
    "phased-lstm": lambda w: bool(((w["k.tau"] >= 1) & (w["k.shift"] <= w["k.tau"]) & (w["k.ratio"] == 0.05)).all()),
    "hyper-lstm": lambda w: not w["A.h_i"].any() and bool((w["D.x_o"] == 0.1 / 8).all() & (w["bias.A.x_f"] == 1).all()),
    "ur-lstm": lambda w: bool((torch.sigmoid(w["b.f"]) >= 1 / (H + 1) - 1e-9).all()),
    "rg-lru": lambda w: bool(((torch.sigmoid(-w["decay.a"]) ** 8 > 0.89) & (w["decay.a"].abs() < 20)).all()),
    "lmu": lambda w: not w["em.u"].any() and bool(w["A.m"].any()),
    "fast-rnn": lambda w: bool(w["p.alpha"] == -3) and bool(w["p.beta"] == 3),
    "layer-norm-lstm": lambda w: (
        bool((w["gain_x.i"] == 1).all() & (w["gain_c.c"] == 1).all()) and not w["shift.o"].any()
    ),
}


@pytest.mark.parametrize("name", STARTS)
def test_starts(name: str):
    assert STARTS[name](entries(layer_of(name)))


@pytest.mark.parametrize("name", STARTS)
def test_starts_without_biases(name: str):
    layer = Recurrent(name, I, H, bias=False, backend="reference")
    extra = {"t": torch.zeros(1, 1)} if name in ("clockwork", "phased-lstm") else {}
    assert layer(torch.randn(1, 1, I), extra=extra)[0].isfinite().all()
