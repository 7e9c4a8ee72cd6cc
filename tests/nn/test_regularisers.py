"""Zoneout, recurrent, variational and weight dropout: rates, independence, reproducibility, and every backend alike."""

from __future__ import annotations

import itertools
from functools import cache

import pytest
import torch
from torch import Tensor, tanh
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gatework.cells import Cell, find, matrix
from gatework.cells.regularised import Regularised
from gatework.errors import InputError
from gatework.nn import GRU, LSTM, Recurrent

T, B, I, H = 7, 5, 4, 8  # noqa: E741
LENGTHS = [7, 3, 5, 1, 6]
ALL = {
    "zoneout": {"h": 0.1, "c": 0.4},
    "recurrent_dropout": 0.25,
    "variational_dropout": 0.3,
    "weight_drop": 0.5,
}


class Counter(Cell):
    """What is kept of a state that would grow by one at each step, and of a candidate that is one."""

    state = "kept", "written"
    gates = ()

    def step(self, x, s):
        return s.kept + 1, s.written + self.drop(torch.ones_like(s.written))


class Reader(Cell):
    """Units that show what of the old state, the constant 1, the matrix let through."""

    state = "h", "seen"
    gates = ()
    U = matrix("u", bias=False)

    def step(self, x, s, U):
        return s.h + 0 * (U.u @ s.h), s.seen + U.u @ (s.h * 0 + 1)


def seeded(layer: Recurrent, *arguments, seed: int = 3, **options):
    torch.manual_seed(seed)
    return layer(*arguments, **options)


@cache
def masks() -> dict[str, Tensor]:
    """What was let through, [layer call, T, B, H]: 8 seeds of 40 steps of 24 rows of 32 units each."""
    torch.manual_seed(20_26)
    zoned = Recurrent(Counter, 0, 32, zoneout={"kept": 0.3}, backend="reference")
    dropped = Recurrent(Counter, 0, 32, recurrent_dropout=0.3, backend="reference")
    x, found = torch.zeros(40, 24, 0), {"zoneout": [], "recurrent_dropout": []}
    for _ in range(8):
        y, _ = zoned(x)
        found["zoneout"].append(y.diff(dim=0, prepend=torch.zeros(1, 24, 32)) == 0)
        written = [piece[1] for piece in steps_of(dropped, x)]
        found["recurrent_dropout"].append(torch.stack(written).diff(dim=0, prepend=torch.zeros(1, 24, 32)) == 0)
    return {name: torch.stack(parts).double() for name, parts in found.items()}


def steps_of(layer: Recurrent, x: Tensor) -> list[tuple[Tensor, ...]]:
    """States after each step, as one call with one seed would give them."""
    seeds, state, found = layer.seeds(), None, []
    for t in range(x.shape[0]):
        _, state = layer(x[t : t + 1], state, seeds=[torch.stack([s[0], s[1] + t]) for s in seeds])
        found.append(tuple(s[0] for s in state))
    return found


@pytest.fixture(autouse=True)
def fixed_seed():
    torch.manual_seed(20_26)


@pytest.mark.parametrize("name", ["zoneout", "recurrent_dropout"])
def test_rate(name: str):
    mask = masks()[name]
    assert abs(mask.mean() - 0.3) < 4.5 * (0.21 / mask.numel()) ** 0.5
    for axis in range(4):  # and for each unit, row, step and call on its own
        others = tuple(a for a in range(4) if a != axis)
        rates = mask.mean(others)
        assert (rates - 0.3).abs().max() < 5 * (0.21 / (mask.numel() / mask.shape[axis])) ** 0.5


@pytest.mark.parametrize("axis", range(4), ids=["call", "t", "b", "unit"])
@pytest.mark.parametrize("name", ["zoneout", "recurrent_dropout"])
def test_independent(name: str, axis: int):
    mask = masks()[name]
    for lag in (1, 2):
        a = mask.narrow(axis, 0, mask.shape[axis] - lag).flatten()
        b = mask.narrow(axis, lag, mask.shape[axis] - lag).flatten()
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 4.5 / a.numel() ** 0.5


def test_states_layers_and_directions_are_independent():
    layer = Recurrent(Counter, 0, 64, num_layers=2, bidirectional=True, zoneout=0.5, backend="reference")
    state = layer(torch.zeros(1, 64, 0))[1]
    parts = [part.flatten() for name in state for part in name]
    assert len(parts) == 8
    for a, b in itertools.combinations(parts, 2):
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 4.5 / a.numel() ** 0.5


def test_what_is_left_of_a_candidate_is_scaled():
    written = Recurrent(Counter, 0, H, recurrent_dropout=0.2, backend="reference")(torch.zeros(1, B, 0))[1][1]
    assert set(written.flatten().tolist()) <= {0.0, 1.25}


def test_variational_dropout_is_one_mask_for_a_sequence():
    layer = Recurrent(Reader, 0, 200, variational_dropout={"recurrent": 0.4}, backend="reference")
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.eye(200))
    seen = torch.stack([state[1] for state in steps_of(layer, torch.zeros(9, 20, 0))])
    once = seen[0] * 0.6
    torch.testing.assert_close(seen, seen[0] * torch.arange(1, 10)[:, None, None], msg="the same at every step")
    assert once.unique().numel() == 2, "kept and scaled by 1 / 0.6, or dropped"
    assert abs((once == 0).double().mean() - 0.4) < 4.5 * (0.24 / once.numel()) ** 0.5
    assert not torch.equal(once[0], once[1]), "each row has its own"


def test_variational_dropout_of_the_input():
    layer = Recurrent(_Sum, 100, 1, variational_dropout={"input": 0.3}, backend="reference")
    x = torch.eye(100)[None].repeat(3, 1, 1)  # row b shows feature b
    y, _ = layer(x)
    assert torch.equal(y[0], y[1]) and torch.equal(y[0], y[2])
    kept = [seeded(layer, x, seed=k)[0][0] != 0 for k in range(60)]
    assert abs(torch.stack(kept).double().mean() - 0.7) < 4.5 * (0.21 / 6000) ** 0.5


class _Sum(Cell):
    state = "h"
    gates = ()

    def step(self, x, s):
        return s.h * 0 + x.raw.sum(-1, keepdim=True)


def test_weight_drop_is_one_mask_for_a_call():
    layer = Recurrent(Reader, 0, 200, weight_drop=0.5, backend="reference")
    with torch.no_grad():
        layer.weight_hh_l0.fill_(1.0)
    mask = layer.regularisers.drop_weights(layer.parameters_of(0), layer.seeds()[0])["weight_hh"]
    assert mask.unique().tolist() == [0.0, 2.0]
    assert abs((mask == 0).double().mean() - 0.5) < 4.5 * (0.25 / mask.numel()) ** 0.5
    seen = layer(torch.zeros(3, 4, 0))[1][1]
    assert (seen == seen[:, :1]).all(), "the same for every row and step"
    layer.eval()
    assert (layer(torch.zeros(1, 1, 0))[1][1] == 200).all()


@pytest.mark.parametrize(("backend", "bidirectional"), [("reference", False), ("reference", True), ("cpp", True)])
def test_the_same_in_every_layout(backend: str, bidirectional: bool):
    options = {"num_layers": 2, "bidirectional": bidirectional, "backend": backend, **ALL}
    layer, first = LSTM(I, H, **options), LSTM(I, H, batch_first=True, **options)
    first.load_state_dict(layer.state_dict())
    x = torch.randn(T, B, I)
    y, state = seeded(layer, x, lengths=LENGTHS)
    z, other = seeded(first, x.transpose(0, 1), lengths=LENGTHS)
    torch.testing.assert_close((z.transpose(0, 1), *other), (y, *state))
    packed, other = seeded(layer, pack_padded_sequence(x, LENGTHS, enforce_sorted=False))
    torch.testing.assert_close((pad_packed_sequence(packed)[0], *other), (y, *state))
    order = sorted(range(B), key=lambda b: -LENGTHS[b])
    ordered, _ = seeded(layer, x[:, order], lengths=[LENGTHS[b] for b in order])
    packed, _ = seeded(layer, pack_padded_sequence(x[:, order], [LENGTHS[b] for b in order]))
    torch.testing.assert_close(pad_packed_sequence(packed)[0], ordered)
    whole, _ = seeded(layer, x)
    torch.testing.assert_close(whole[:, 0], y[:, 0], msg="a row of full length does not see the others' lengths")


def test_reproducible_from_a_seed():
    layer, x = LSTM(I, H, 2, backend="reference", **ALL), torch.randn(T, B, I)
    assert torch.equal(seeded(layer, x)[0], seeded(layer, x)[0])
    assert not torch.equal(seeded(layer, x)[0], seeded(layer, x, seed=4)[0])
    seeds = layer.seeds()
    assert torch.equal(layer(x, seeds=seeds)[0], layer(x, seeds=seeds)[0])


def test_off_in_evaluation():
    x = torch.randn(T, B, I)
    plain = LSTM(I, H, 2, backend="reference").eval()
    for name in ("recurrent_dropout", "variational_dropout", "weight_drop"):
        layer = LSTM(I, H, 2, backend="reference", **{name: 0.5}).eval()
        layer.load_state_dict(plain.state_dict())
        before = torch.get_rng_state()
        assert torch.equal(layer(x)[0], plain(x)[0])
        assert torch.equal(torch.get_rng_state(), before), "nothing is drawn"


def test_zoneout_is_its_expectation_in_evaluation():
    layer = GRU(I, H, zoneout=0.25, backend="reference").eval()
    plain = GRU(I, H, backend="reference")
    plain.load_state_dict(layer.state_dict())
    x, h = torch.randn(1, B, I), torch.randn(1, B, H)
    torch.testing.assert_close(layer(x, h)[0], 0.25 * h + 0.75 * plain(x, h)[0])
    layer.train()
    n = 4000  # rows of one batch are independent draws
    draws = layer(x[:, :1].expand(1, n, I), h[:, :1].expand(1, n, H))[0].mean(1)
    torch.testing.assert_close(draws, layer.eval()(x, h)[0][:, 0], rtol=0, atol=0.05)


def kernels_agree(cell: str | Cell, **options) -> None:
    """Values and gradients of a compiled layer and of the reference with the same seeds."""
    x, options = torch.randn(T, B, I), options | {"num_layers": 2, "bidirectional": True}
    layers = [Recurrent(cell, I, H, backend=backend, **options) for backend in ("cpp", "reference")]
    layers[1].load_state_dict(layers[0].state_dict())
    for lengths in (None, LENGTHS):
        found = []
        for layer in layers:
            given = x.clone().requires_grad_()
            y, state = seeded(layer, given, lengths=lengths)
            state = state if isinstance(state, tuple) else (state,)
            total = y.sin().sum() + sum(s.square().sum() for s in state)
            found.append([y, *state, *torch.autograd.grad(total, [given, *layer.parameters()])])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_kernels_draw_what_the_reference_draws(cell: str):
    kernels_agree(cell, zoneout=0.2, recurrent_dropout=0.25, weight_drop=0.5)


def test_kernels_take_variational_dropout():
    kernels_agree("lstm", variational_dropout=0.3)


class Mine(Cell):
    """A user's cell of two states and two products, one of them dependent."""

    state = "h", "m"
    gates = "a", "b"
    V = matrix("v")

    def step(self, x, s, U, V):
        m = 0.5 * s.m + self.drop(tanh(x.a + U.a @ s.h))
        return tanh(x.b + U.b @ s.h + V.v @ m), m


@pytest.mark.parametrize("cell", ["lstm", Mine], ids=str)
def test_gradients(cell):
    """Finite differences in double precision, with the random numbers held."""
    options = {"zoneout": 0.2, "recurrent_dropout": 0.25, "variational_dropout": 0.3, "weight_drop": 0.3}
    layer = Recurrent(cell, 2, 3, backend="reference", dtype=torch.float64, **options)
    seeds, names = layer.seeds(), [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, *params: Tensor):
        given = dict(zip(names, params, strict=True))
        y, state = torch.func.functional_call(layer, given, (x,), {"seeds": seeds})
        return (y, *state) if isinstance(state, tuple) else (y, state)

    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)
    params = [p.detach().clone().requires_grad_() for p in layer.parameters()]
    assert torch.autograd.gradcheck(run, (x, *params))


def test_any_cell_may_be_regularised():
    layer = Recurrent(Mine, I, H, backend="reference", **(ALL | {"zoneout": {"m": 0.2}}))
    assert [key for key in layer.running_cell.arguments if key not in Mine.arguments] == [
        "zoneout_m",
        "drop_0",
        "variational_U",
    ]
    assert isinstance(layer.running_cell, Regularised) and "zoneout={'m': 0.2}" in repr(layer.running_cell)
    assert layer(torch.randn(T, B, I))[0].shape == (T, B, H)
    assert layer.cell.step.__func__ is Mine.step, "the layer's own cell stays what it was"


def test_recurrent_matrices_of_a_cell_without_U():
    class Other(Cell):
        state = "h"
        gates = ("a",)
        R = matrix("r")
        W = matrix("w", columns="I")

        def step(self, x, s, R, W):
            return tanh(x.a + R.r @ s.h + W.w @ x.raw)

    layer = Recurrent(Other, I, H, weight_drop=0.5, variational_dropout=0.5)
    assert layer.regularisers.weights == ("weight_R",)
    assert "variational_R" in layer.running_cell.arguments and "variational_W" not in layer.running_cell.arguments
    with pytest.raises(InputError, match="cell counter applies no matrix to its states"):
        Recurrent(Counter, I, H, weight_drop=0.5)


def test_rates_are_told_and_options_reach_the_cell():
    layer = Recurrent(find("janet", beta=0.5), I, H, zoneout=0.1, weight_drop=0.5)
    assert "zoneout={'h': 0.1}, weight_drop=0.5" in repr(layer)
    assert layer.running_cell.beta == 0.5 and layer.running_cell.options == ("beta",)


SEEDS = {
    "too few": ([torch.zeros(2, dtype=torch.int64)], "seeds has 1 entries; expected 2"),
    "shape": ([torch.zeros(1, dtype=torch.int64)] * 2, r"seeds has \(1,\) of torch.int64; expected int64"),
    "dtype": ([torch.zeros(2)] * 2, r"seeds has \(2,\) of torch.float32"),
    "numbers": ([1, 2], "seeds has int"),
}


@pytest.mark.parametrize("name", SEEDS)
def test_seeds_that_do_not_fit(name: str):
    seeds, message = SEEDS[name]
    with pytest.raises(InputError, match=message):
        LSTM(I, H, 2, zoneout=0.1, backend="reference")(torch.zeros(T, B, I), seeds=seeds)
