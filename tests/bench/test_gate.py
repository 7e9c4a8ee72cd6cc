"""A kernel that computes something else than its peer is never timed."""

import pytest
import torch
from torch import nn

import gatework.nn as ours
from gatework.bench import suites
from gatework.bench.gate import TOLERANCE, WrongResult, compare
from gatework.bench.run import Options, Outcome, measure
from gatework.bench.shapes import Shape
from gatework.bench.timing import Repeats
from gatework.bench.trials import data, dense

SHAPE = Shape(4, 3, 5, 8)
ONCE = Repeats(0.0, least=1)


class Scale(torch.autograd.Function):
    """The identity, with a gradient that is too large by a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.factor, None


class WrongValue(ours.LSTM):
    def forward(self, x, hx=None, lengths=None):
        y, state = super().forward(x, hx, lengths)
        return y * (1 + 10 * TOLERANCE), state


class WrongGradient(ours.LSTM):
    def forward(self, x, hx=None, lengths=None):
        return super().forward(Scale.apply(x, 1 + 10 * TOLERANCE), hx, lengths)


class DroppedGradient(ours.LSTM):
    def forward(self, x, hx=None, lengths=None):
        return super().forward(x.detach(), hx, lengths)


class NotANumber(ours.LSTM):
    def forward(self, x, hx=None, lengths=None):
        y, state = super().forward(x, hx, lengths)
        return y * float("nan"), state


def timed(monkeypatch: pytest.MonkeyPatch, kind: type[nn.Module], suite: str) -> tuple[Outcome, list[dict]]:
    monkeypatch.setattr(ours, "LSTM", kind)
    kept: list[dict] = []
    return measure(Options((suite,), (1,), (SHAPE,), ONCE), kept.extend), kept


@pytest.mark.parametrize(
    ("kind", "suite", "reason"),
    [
        (WrongValue, "forward", "output 0 differs"),
        (WrongValue, "train", "output 0 differs"),
        (WrongGradient, "train", "gradient of the input differs"),
        (DroppedGradient, "train", "no gradient came to the input"),
        (NotANumber, "forward", "output 0 differs by nan"),
    ],
)
def test_a_wrong_kernel_is_not_timed(monkeypatch, kind, suite, reason):
    outcome, kept = timed(monkeypatch, kind, suite)
    assert kept == []
    assert outcome.timed == 0
    (refused,) = outcome.refused
    assert reason in refused
    assert str(SHAPE) in refused


@pytest.mark.parametrize("suite", ["forward", "train"])
def test_a_right_kernel_is_timed(monkeypatch, suite):
    outcome, kept = timed(monkeypatch, ours.LSTM, suite)
    assert (outcome.refused, outcome.timed) == ([], 1)
    assert [row["metric"] for row in kept] == ["seconds"]


def test_other_weights_are_refused():
    batch = data(SHAPE)
    one, two = (dense(nn.LSTM(SHAPE.I, SHAPE.H), *batch) for _ in range(2))
    with pytest.raises(WrongResult, match="output 0 differs"):
        compare(one.results(True), two.results(True))
    assert compare(one.results(True), one.results(True)) == 0.0


def test_missing_and_misshapen_results_are_refused():
    value = {"a": torch.ones(3)}
    with pytest.raises(WrongResult, match="one side alone has: b"):
        compare(value, {**value, "b": torch.ones(1)})
    with pytest.raises(WrongResult, match="a has shape"):
        compare(value, {"a": torch.ones(4)})


def test_the_number_of_threads_and_the_random_state_are_put_back():
    torch.manual_seed(5)
    before, threads = torch.random.get_rng_state(), torch.get_num_threads()
    measure(Options(("forward",), (1,), (SHAPE,), ONCE), lambda rows: None)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), before)


def test_cells_without_a_peer_are_held_against_the_reference():
    """The per-FLOP suite takes turns with our own LSTM, but must equal the reference of its own cell."""
    for pair in suites.per_flop([SHAPE]):
        assert pair.truth is not None
        assert pair.truth.layer.backend == "reference"
        assert pair.truth.layer.cell.name == pair.cell == pair.ours.layer.cell.name
        assert pair.theirs.layer.cell.name == "lstm"
        compare(pair.ours.results(True), pair.truth.results(True))
