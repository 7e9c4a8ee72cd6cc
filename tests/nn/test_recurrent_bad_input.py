"""Arguments and inputs that a layer cannot take: each is refused with what came, what was expected, how to mend it."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from gatework.cells import find
from gatework.errors import InputError
from gatework.nn import GRU, LSTM, RNN, Recurrent

T, B, I, H = 6, 4, 3, 5  # noqa: E741

CONSTRUCTORS = {
    "input_size negative": (lambda: LSTM(-1, H), "input_size is -1"),
    "input_size a float": (lambda: LSTM(3.0, H), "input_size is 3.0"),
    "input_size a bool": (lambda: LSTM(True, H), "input_size is True"),
    "hidden_size zero": (lambda: LSTM(I, 0), "hidden_size is 0"),
    "hidden_size text": (lambda: GRU(I, "5"), "hidden_size is '5'"),
    "num_layers zero": (lambda: RNN(I, H, num_layers=0), "num_layers is 0"),
    "dropout above 1": (lambda: LSTM(I, H, 2, dropout=1.5), "dropout is 1.5"),
    "dropout negative": (lambda: LSTM(I, H, 2, dropout=-0.1), "dropout is -0.1"),
    "dropout a bool": (lambda: LSTM(I, H, 2, dropout=True), "dropout is True"),
    "dropout text": (lambda: LSTM(I, H, 2, dropout="half"), "dropout is 'half'"),
    "dropout nan": (lambda: LSTM(I, H, 2, dropout=float("nan")), "dropout is nan"),
    "proj_size as wide as the units": (lambda: LSTM(I, H, proj_size=H), "proj_size is 5; expected .* below"),
    "proj_size negative": (lambda: LSTM(I, H, proj_size=-1), "proj_size is -1"),
    "proj_size a bool": (lambda: LSTM(I, H, proj_size=True), "proj_size is True"),
    "hidden_size text for a projection": (lambda: LSTM(I, "5", proj_size=1), "proj_size is 1"),
    "heads zero": (lambda: LSTM(I, H, heads=0), "heads is 0; expected a whole number >= 1"),
    "heads that do not divide": (lambda: LSTM(I, H, heads=2), r"U \[5, 5\] does not divide into 2 heads"),
    "zoneout above": (lambda: LSTM(I, H, zoneout=1.0), "zoneout is 1.0; expected a probability"),
    "zoneout of no state": (lambda: LSTM(I, H, zoneout={"q": 0.1}), "zoneout has 'q'; expected .* h, c"),
    "zoneout text": (lambda: LSTM(I, H, zoneout={"h": "much"}), r"zoneout\['h'\] is 'much'"),
    "recurrent_dropout nan": (lambda: LSTM(I, H, recurrent_dropout=float("nan")), "recurrent_dropout is nan"),
    "recurrent_dropout without a candidate": (
        lambda: RNN(I, H, recurrent_dropout=0.5),
        r"cell rnn marks no candidate\. Write self\.drop",
    ),
    "variational_dropout of no part": (
        lambda: LSTM(I, H, variational_dropout={"output": 0.1}),
        "variational_dropout has 'output'; expected a rate for each of input, recurrent",
    ),
    "weight_drop a bool": (lambda: LSTM(I, H, weight_drop=True), "weight_drop is True"),
    "backend": (lambda: LSTM(I, H, backend="cuda"), "backend is 'cuda'; expected one of auto, reference, cpp"),
}


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_constructor(name: str):
    make, message = CONSTRUCTORS[name]
    with pytest.raises(InputError, match=message):
        make()


def test_dropout_that_does_nothing_is_said():
    with pytest.warns(UserWarning, match="num_layers=1"):
        LSTM(I, H, dropout=0.5)


def zeros(*shape: int, **options) -> torch.Tensor:
    return torch.zeros(*shape, **options)


X = zeros(T, B, I)
PACKED = pack_sequence([zeros(n, I) for n in (4, 3, 3, 1)])
STATE = zeros(2, B, H)
CALLS = {
    "features": ((zeros(T, B, I + 1),), {}, r"input has 4 features \(shape \(6, 4, 4\)\); input_size is 3"),
    "no axes": ((zeros(()),), {}, r"input has shape \(\)"),
    "1 axis": ((zeros(I),), {}, r"input has shape \(3,\)"),
    "4 axes": ((zeros(1, T, B, I),), {}, r"input has shape \(1, 6, 4, 3\)"),
    "array": ((X.numpy(),), {}, "input is ndarray"),
    "list": (([[0.0]],), {}, "input is list"),
    "none": ((None,), {}, "input is NoneType"),
    "dtype": ((X.double(),), {}, r"input is torch.float64, the layer's weights are torch.float32"),
    "whole numbers": ((X.long(),), {}, r"input is torch.int64"),
    "device": ((X.to("meta"),), {}, "input is on meta, the layer on cpu"),
    "packed features": ((pack_sequence([zeros(2, I + 2)]),), {}, "input has 5 features"),
    "packed with lengths": ((PACKED, None, [1, 1, 1, 1]), {}, "leave `lengths` out"),
    "one state of two": ((X, (STATE,)), {}, r"hx has 1 state\(s\); cell lstm has 2: h, c"),
    "a tensor for two states": ((X, STATE), {}, r"hx has 1 state\(s\); cell lstm has 2: h, c"),
    "three states": ((X, (STATE, STATE, STATE)), {}, r"hx has 3 state\(s\)"),
    "state without layers": ((X, (zeros(B, H), zeros(B, H))), {}, r"state h has shape \(4, 5\); expected \(2, 4, 5\)"),
    "state of another batch": (
        (X, (STATE, zeros(2, B + 1, H))),
        {},
        r"state c has shape \(2, 5, 5\); expected \(2, 4, 5\)",
    ),
    "state of other units": ((X, (zeros(2, B, H + 1), STATE)), {}, r"state h has shape \(2, 4, 6\)"),
    "state dtype": ((X, (STATE, STATE.double())), {}, "state c is torch.float64, the input torch.float32"),
    "state device": ((X, (STATE, STATE.to("meta"))), {}, "state c is on meta"),
    "state not a tensor": ((X, (STATE, None)), {}, "state c is NoneType"),
    "state a number": ((X, 0.0), {}, "hx is float; expected a tensor or a tuple of tensors"),
    "state a number for one sequence": ((zeros(T, I), 0.0), {}, "hx is float; expected a tensor or a tuple of tensors"),
    "packed state": ((PACKED, (zeros(2, 3, H), zeros(2, 3, H))), {}, r"state h has shape \(2, 3, 5\)"),
    "batched state for one sequence": ((zeros(T, I), (STATE, STATE)), {}, "one sequence"),
    "lengths of another batch": ((X, None, [1, 2, 3]), {}, r"lengths has shape \(3,\); expected \(4,\)"),
    "lengths in two axes": ((X, None, [[1, 2, 3, 4]]), {}, r"lengths has shape \(1, 4\)"),
    "lengths too long": ((X, None, [1, 2, 7, 3]), {}, r"lengths\[2\] is 7; expected 0..6"),
    "lengths negative": ((X, None, [1, -2, 3, 3]), {}, r"lengths\[1\] is -2"),
    "lengths with fractions": ((X, None, [1.0, 2.0, 3.0, 3.0]), {}, "lengths is torch.float32; expected whole numbers"),
    "lengths as a mask": ((X, None, torch.ones(B, dtype=torch.bool)), {}, "lengths is torch.bool"),
    "lengths as text": ((X, None, ["1", "2", "3", "4"]), {}, "lengths"),
    "lengths ragged": ((X, None, [[1], [2, 3], [4], [5]]), {}, "lengths"),
    "lengths for one sequence": ((zeros(T, I), None, [3]), {}, "lengths came with one unbatched sequence"),
}


@pytest.mark.parametrize("backend", ["cpp", "reference"])
@pytest.mark.parametrize("name", CALLS)
def test_call(name: str, backend: str):
    arguments, options, message = CALLS[name]
    layer = Recurrent("lstm", I, H, num_layers=2, backend=backend)
    with pytest.raises(InputError, match=message):
        layer(*arguments, **options)
    layer(X)  # and the layer is as good as before


def test_two_states_for_a_cell_with_one():
    with pytest.raises(InputError, match=r"hx has 2 state\(s\); cell gru has 1: h"):
        GRU(I, H)(X, (zeros(1, B, H), zeros(1, B, H)))


# What a kernel would read past the end of: these must never reach it.
def replaced(name: str, value: torch.Tensor) -> Recurrent:
    layer = LSTM(I, H, backend="cpp")
    setattr(layer, name, torch.nn.Parameter(value))
    return layer


PARTS = {
    "one weight in another dtype": lambda: replaced("weight_hh_l0", zeros(4 * H, H, dtype=torch.float16)),
    "a bias too short": lambda: replaced("bias_hh_l0", zeros(1)),
    "a weight too small": lambda: replaced("weight_hh_l0", zeros(4 * H, H - 1)),
}


@pytest.mark.parametrize("name", PARTS)
def test_parameters_that_were_replaced(name: str):
    with pytest.raises(InputError, match=r"parameter (weight|bias)_hh_l0 is"):
        PARTS[name]()(X)


@pytest.mark.parametrize("cell", ["lstm", find("rnn")])
def test_autocast_does_not_mix_types(cell):
    """Autocast lets any dtype in; a kernel takes one."""
    layer = Recurrent(cell, I, H)
    with torch.autocast("cpu", torch.bfloat16):
        expected = layer(X)[0].float()
        for x in (X.bfloat16(), X.double()):
            torch.testing.assert_close(layer(x)[0].float(), expected, rtol=0.02, atol=0.02)
