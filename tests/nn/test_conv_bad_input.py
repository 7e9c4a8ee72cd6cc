"""What a convolutional layer says to arguments and inputs that it cannot use."""

from __future__ import annotations

import pytest
import torch

from gatework.errors import GateworkError, InputError
from gatework.nn import ConvLSTM1d, ConvLSTM2d, ConvRecurrent


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvLSTM2d(0, 4, 3), "in_channels is 0; expected a whole number >= 1"),
        (lambda: ConvLSTM2d(2, 4, 4), r"kernel_size is 4; expected 2 odd number\(s\) >= 1"),
        (lambda: ConvLSTM2d(2, 4, (3, 3, 3)), r"kernel_size is \(3, 3, 3\); expected 2 odd"),
        (lambda: ConvLSTM2d(2, 4, 3, dropout=2), "dropout is 2; expected a probability in 0..1"),
        (lambda: ConvRecurrent("lstm", 2, 4, 3, dims=4), "dims is 4; expected 1, 2 or 3"),
        (lambda: ConvRecurrent("lstm", 2, 4, 3, spatial_size=(8, 8)), "cell lstm has no vectors"),
        (lambda: ConvRecurrent("gru", 2, 4, 3, bias=False, forget_bias=1.0), "need bias=True"),
        (lambda: ConvRecurrent("lstn", 2, 4, 3), "Did you mean 'lstm'"),
        (lambda: ConvLSTM1d(2, 4, 3, backend="cuda"), "backend is 'cuda'"),
    ],
)
def test_bad_arguments(make, message: str) -> None:
    with pytest.raises(GateworkError, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda layer, x: layer(x[0]), r"input has shape \(2, 2, 4, 4\); expected \[T, B, 2, H, W\]"),
        (lambda layer, x: layer(x.transpose(2, 3)), r"expected \[T, B, 2, H, W\]"),
        (lambda layer, x: layer(x.double()), "input is torch.float64, the layer's weights are torch.float32"),
        (lambda layer, x: layer(x, torch.zeros(1, 2, 3, 4, 4)), r"hx has 1 state\(s\); cell lstm has 2: h, c"),
        (lambda layer, x: layer(x, layer(x[..., :3])[1]), r"state h has shape \(1, 2, 3, 4, 3\); expected"),
        (lambda layer, x: layer(x, lengths=[3]), r"lengths has shape \(1,\); expected \(2,\)"),
        (lambda layer, x: layer(x, extra={"dt": x}), "extra has 'dt', which is not one of them"),
    ],
)
def test_bad_calls(call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(ConvLSTM2d(2, 3, 3), torch.randn(3, 2, 2, 4, 4))


def test_field_of_another_size() -> None:
    layer = ConvRecurrent("peephole-lstm", 2, 3, 3, spatial_size=(4, 5))
    with pytest.raises(InputError, match=r"the field is \(4, 4\); spatial_size is \(4, 5\)"):
        layer(torch.randn(3, 2, 2, 4, 4))
