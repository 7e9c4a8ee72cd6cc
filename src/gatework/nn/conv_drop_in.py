"""`ConvLSTM` and `ConvGRU` over lines, images and volumes, by the names that they are known by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gatework.nn.conv import ConvRecurrent


class ConvLSTM1d(ConvRecurrent):
    """The ConvLSTM over lines [T, B, I, W]; arguments as for `ConvRecurrent`."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int, *args: Any, **options: Any) -> None:
        super().__init__("lstm", in_channels, hidden_channels, kernel_size, *args, dims=1, **options)


class ConvLSTM2d(ConvRecurrent):
    """The ConvLSTM over images [T, B, I, H, W]; arguments as for `ConvRecurrent`."""

    def __init__(
        self, in_channels: int, hidden_channels: int, kernel_size: int | Sequence[int], *args: Any, **options: Any
    ) -> None:
        super().__init__("lstm", in_channels, hidden_channels, kernel_size, *args, dims=2, **options)


class ConvLSTM3d(ConvRecurrent):
    """The ConvLSTM over volumes [T, B, I, D, H, W]; arguments as for `ConvRecurrent`."""

    def __init__(
        self, in_channels: int, hidden_channels: int, kernel_size: int | Sequence[int], *args: Any, **options: Any
    ) -> None:
        super().__init__("lstm", in_channels, hidden_channels, kernel_size, *args, dims=3, **options)


class ConvGRU1d(ConvRecurrent):
    """The GRU over lines [T, B, I, W], reset after the convolution; arguments as for `ConvRecurrent`."""

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int, *args: Any, **options: Any) -> None:
        super().__init__("gru", in_channels, hidden_channels, kernel_size, *args, dims=1, **options)


class ConvGRU2d(ConvRecurrent):
    """The GRU over images [T, B, I, H, W], reset after the convolution; arguments as for `ConvRecurrent`."""

    def __init__(
        self, in_channels: int, hidden_channels: int, kernel_size: int | Sequence[int], *args: Any, **options: Any
    ) -> None:
        super().__init__("gru", in_channels, hidden_channels, kernel_size, *args, dims=2, **options)


class ConvGRU3d(ConvRecurrent):
    """The GRU over volumes [T, B, I, D, H, W], reset after the convolution; arguments as for `ConvRecurrent`."""

    def __init__(
        self, in_channels: int, hidden_channels: int, kernel_size: int | Sequence[int], *args: Any, **options: Any
    ) -> None:
        super().__init__("gru", in_channels, hidden_channels, kernel_size, *args, dims=3, **options)
