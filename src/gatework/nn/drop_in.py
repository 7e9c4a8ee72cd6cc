"""`LSTM`, `GRU` and `RNN` in place of torch.nn's."""

from __future__ import annotations

from typing import Any, Literal

import torch

from gatework.cells import find
from gatework.errors import InputError
from gatework.nn.recurrent import Recurrent


class LSTM(Recurrent):
    """`torch.nn.LSTM` with its arguments, shapes and state_dict; see `Recurrent` for the options beyond.

    Example:
        >>> import torch
        >>> layer = LSTM(3, 5, num_layers=2)
        >>> y, (h, c) = layer(torch.zeros(7, 4, 3))
        >>> y.shape, h.shape
        (torch.Size([7, 4, 5]), torch.Size([2, 4, 5]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        if proj_size:
            raise InputError(
                f"proj_size={proj_size} is not there yet; use proj_size=0 and a Linear layer on the outputs."
            )
        self.proj_size = 0
        super().__init__(
            "lstm",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            **options,
        )


class GRU(Recurrent):
    """`torch.nn.GRU` with its arguments, shapes and state_dict; see `Recurrent` for the options beyond."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            "gru",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            **options,
        )


class RNN(Recurrent):
    """`torch.nn.RNN` with its arguments, shapes and state_dict; see `Recurrent` for the options beyond."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        self.nonlinearity = nonlinearity
        super().__init__(
            find("rnn", nonlinearity=nonlinearity),
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            **options,
        )
