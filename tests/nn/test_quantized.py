"""Layers with weights of eight bits: close to the layer they come from, and clear about what they refuse."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from gatework.compiler.eight_bits import MOST, restored, round_rows
from gatework.errors import InputError
from gatework.nn import GRU, LSTM, MLSTM, Quantized, Recurrent, quantize
from tests.conformance.comparison import distance

# A weight is off by up to 1/254 of its row's largest number, what it meets by 1/254 of its own largest; over many
# products these average out to less than 1 % a layer.
CLOSE = 0.02


@pytest.fixture(autouse=True)
def conditions(poisoned_empty: None):
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def tensors(result: tuple[Any, Any]) -> list[Tensor]:
    y, state = result
    return [y.data if isinstance(y, PackedSequence) else y, *((state,) if isinstance(state, Tensor) else state)]


def same(one: tuple[Any, Any], other: tuple[Any, Any], tolerance: float) -> bool:
    return all(distance(a, b) <= tolerance for a, b in zip(tensors(one), tensors(other), strict=True))


def test_rows_are_rounded_to_half_a_step():
    weight = torch.randn(7, 33) * torch.logspace(-3, 3, 7)[:, None]
    weight[3] = 0
    whole, scale = round_rows(weight)
    assert whole.dtype == torch.int8 and int(whole.abs().max()) == MOST and scale[3] == 0
    back = restored({"weight_hh": whole, "scale_hh": scale, "bias_hh": scale})
    assert list(back) == ["weight_hh", "bias_hh"]
    assert ((back["weight_hh"] - weight).abs() <= scale[:, None] * 0.501).all()
    assert round_rows(torch.zeros(3, 0))[0].shape == (3, 0)


@pytest.mark.parametrize("cell", ["lstm", "gru", "peephole-lstm", "rnn"])
@pytest.mark.parametrize("size", [(1, 1), (64, 64), (33, 130)])
def test_close_to_the_layer(cell: str, size: tuple[int, int]):
    layer = Recurrent(cell, *size, num_layers=2, bidirectional=True, batch_first=True, backend="cpp")
    small, x, lengths = quantize(layer), torch.randn(5, 9, size[0]), [9, 3, 0, 1, 9]
    assert same(layer(x), small(x), CLOSE)
    assert same(layer(x, lengths=lengths), small(x, lengths=lengths), CLOSE)
    assert same(layer(x[0]), small(x[0]), CLOSE)
    packed = pack_padded_sequence(x, torch.tensor([9, 3, 2, 1, 9]), True, enforce_sorted=False)
    assert same(layer(packed), small(packed), CLOSE)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_stream_is_the_sequence(cell: str, batch_first: bool):
    """One step multiplies weights as they lie, a sequence packs them: the same whole numbers and so the same sums."""
    for B in (1, 2, 5):
        small = quantize(Recurrent(cell, 40, 70, batch_first=batch_first))
        x = torch.randn(6, B, 40)
        whole, last = small(x.transpose(0, 1) if batch_first else x)
        state, outputs = None, []
        for t in range(6):
            step = x[t : t + 1].transpose(0, 1) if batch_first else x[t : t + 1]
            y, state = small(step, state)
            outputs.append(y)
        assert same((whole, last), (torch.cat(outputs, 1 if batch_first else 0), state), 1e-6)


def test_other_kernel_classes_multiply_in_float32():
    names = "gru-reset-before", "min-gru", "ur-lstm"  # products in a row, none, and one of the raw input
    for layer in (*(Recurrent(name, 16, 16) for name in names), LSTM(16, 20, proj_size=8)):
        x = torch.randn(4, 3, 16)
        assert same(layer(x), quantize(layer)(x), CLOSE)


def test_the_reference_multiplies_what_the_weights_stand_for():
    layer = LSTM(5, 7, backend="reference")
    x = torch.randn(4, 2, 5)
    assert same(layer(x), quantize(layer)(x), CLOSE)


def test_state_dict_goes_round():
    layer, other = LSTM(5, 20, num_layers=2), LSTM(5, 20, num_layers=2)
    small, x = quantize(layer), torch.randn(4, 2, 5)
    held = small.state_dict()
    assert held["weight_hh_l1"].dtype == torch.int8 and held["scale_hh_l1"].shape == (80,)
    assert list(held)[:2] == ["weight_ih_l0", "scale_ih_l0"] and not list(small.parameters())
    again = quantize(other)
    again.load_state_dict(held)
    assert torch.equal(again(x)[0], small(x)[0]) and torch.equal(copy.deepcopy(small)(x)[0], small(x)[0])


def test_the_layer_is_left_alone_and_the_small_one_infers():
    layer = LSTM(5, 20, zoneout=0.3, recurrent_dropout=0.5)
    before = copy.deepcopy(layer.state_dict())
    small = nn.Sequential(quantize(layer)).train()[0]
    assert isinstance(small, Quantized) and not small.training and layer.training
    assert all(torch.equal(a, b) for a, b in zip(before.values(), layer.state_dict().values(), strict=True))
    x = torch.randn(4, 2, 5)
    assert same(layer.eval()(x), small(x), CLOSE)


def test_learned_states_come_along():
    layer, x = LSTM(5, 20, num_layers=2, learned_state=True), torch.randn(4, 2, 5)
    for states in layer.initial_states():
        for state in states:
            nn.init.normal_(state)
    assert same(layer(x), quantize(layer)(x), CLOSE) and "c0_l1" in quantize(layer).state_dict()


def test_special_numbers():
    """Rows of zeros, NaN and infinity stay in their own row of the batch."""
    small, x = quantize(LSTM(5, 20)), torch.randn(3, 4, 5)
    x[0, 0], x[1, 1, 2], x[1, 2, 3] = 0, float("nan"), float("inf")
    y = small(x)[0]
    assert y[:, [0, 3]].isfinite().all() and y[1:, 1].isnan().all() and y[1:, 2].isnan().all()
    assert y[0].isfinite().all()


def test_torch_compile_and_vmap():
    small, x = quantize(LSTM(5, 20)), torch.randn(3, 4, 5)
    found = torch.compile(small, fullgraph=True, backend="aot_eager")(x)
    assert torch.equal(found[0], small(x)[0])
    apart = torch.vmap(lambda row: small(row.unsqueeze(1))[0], in_dims=1, out_dims=1)(x)
    assert distance(small(x)[0], apart.squeeze(2)) <= CLOSE


def test_refusals():
    with pytest.raises(InputError, match="MLSTM; expected a layer"):
        quantize(MLSTM(8, 8))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Quantized; expected a layer"):
        quantize(quantize(LSTM(3, 4)))
    with pytest.raises(InputError, match=r"weight_ih_l0 is torch\.float64 on cpu; quantize takes float32"):
        quantize(LSTM(3, 4, dtype=torch.float64))
    broken = GRU(3, 4)
    broken.weight_hh_l0[0, 0] = float("nan")
    with pytest.raises(InputError, match="weight_hh_l0 has numbers that are not finite"):
        quantize(broken)
    small = quantize(GRU(3, 4))
    with pytest.raises(InputError, match="input has 5 features"):
        small(torch.randn(2, 2, 5))
    with pytest.raises(InputError, match=r"input is torch\.float64"):
        small(torch.randn(2, 2, 3, dtype=torch.float64))
    with torch.enable_grad(), pytest.raises(InputError, match="pass no gradient"):
        small(torch.randn(2, 2, 3, requires_grad=True))
    small.half()
    with pytest.raises(InputError, match=r"scale_ih_l0 is .* of torch\.float16; expected .* of torch\.float32"):
        small(torch.randn(2, 2, 3).half())


def test_a_trained_model_keeps_its_answers():
    """The sign of the sum of 12 numbers, learned in a few seconds: rounding may change no more than 1 answer in 100."""
    layer, head = LSTM(1, 24, batch_first=True), nn.Linear(24, 2)
    optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()], 0.02)
    with torch.enable_grad():
        for _ in range(60):
            x = torch.randn(64, 12, 1)
            loss = F.cross_entropy(head(layer(x)[0][:, -1]), (x.sum((1, 2)) > 0).long())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    x = torch.randn(1000, 12, 1)
    answers, rounded = (head(each(x)[0][:, -1]).argmax(1) for each in (layer, quantize(layer)))
    assert (answers == (x.sum((1, 2)) > 0).long()).float().mean() > 0.9  # it has learned
    assert (answers != rounded).float().mean() <= 0.01
