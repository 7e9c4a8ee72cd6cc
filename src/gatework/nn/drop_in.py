"""`LSTM`, `GRU` and `RNN` in place of torch.nn's."""

from __future__ import annotations

from typing import Any, Literal

import torch

from gatework.cells import find
from gatework.errors import InputError
from gatework.nn.recurrent import Recurrent


class LSTM(Recurrent):
    """`torch.nn.LSTM` with its arguments, shapes and state_dict; see `Recurrent` for the options beyond.

    With `proj_size` P > 0, h and the outputs are P wide: a projection weight_hr [P, H] follows every step.

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
        most = hidden_size if isinstance(hidden_size, int) else 1
        if not isinstance(proj_size, int) or isinstance(proj_size, bool) or not 0 <= proj_size < max(most, 1):
            raise InputError(f"proj_size is {proj_size!r}; expected a whole number >= 0 and below hidden_size.")
        self.proj_size = proj_size
        super().__init__(
            find("lstmp", proj_size=proj_size) if proj_size else "lstm",
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
