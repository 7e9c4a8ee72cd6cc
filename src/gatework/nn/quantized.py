"""Layers for inference with weights of eight bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gatework.compiler import call
from gatework.compiler.build import Kernel
from gatework.compiler.call import Job, scale_name
from gatework.compiler.eight_bits import round_rows
from gatework.compiler.launch import kernel_or_refusal
from gatework.compiler.native import is_watched
from gatework.errors import InputError
from gatework.nn.inputs import Further, State, check_input
from gatework.nn.recurrent import Recurrent


def quantize(layer: Recurrent) -> Quantized:
    """A layer for inference whose matrices are kept in eight bits, with one scale for each row.

    Inputs, outputs, states, biases and vectors stay float32. Cells of the kernel classes M1 and M1t multiply in eight
    bits: each row of inputs and of a state is rounded to eight bits with its own scale as the step needs it, and sums
    are exact. Other cells multiply with the rounded weights in float32, which is correct but saves nothing but memory.

    Args:
        layer: LSTM, GRU, RNN or Recurrent in float32 on the CPU, trained; it is left as it is.

    Returns:
        a module with the same call, always in inference mode; its `state_dict` holds the whole numbers ("weight_hh_l0",
        int8) and scales ("scale_hh_l0").

    Raises InputError for another dtype, or weights that are not finite.

    Example:
        >>> import torch
        >>> from gatework.nn import LSTM
        >>> layer = LSTM(3, 8)
        >>> small = quantize(layer)
        >>> x = torch.ones(5, 2, 3)
        >>> bool((small(x)[0] - layer(x)[0]).abs().max() < 0.05)
        True
    """
    return Quantized(layer)


class Quantized(Recurrent):
    """A layer with weights of eight bits, for inference; see `quantize`."""

    def __init__(self, layer: Recurrent) -> None:
        if not isinstance(layer, Recurrent) or isinstance(layer, Quantized):
            raise InputError(f"quantize was given {type(layer).__name__}; expected a layer of gatework.nn in float32.")
        nn.Module.__init__(self)
        plain = vars(nn.Module())
        self.__dict__.update({name: value for name, value in vars(layer).items() if name not in plain})  # its settings
        # of each layer and direction: (name in the cell, name in the module, shape, dtype)
        self._kept: list[list[tuple[str, str, torch.Size, torch.dtype]]] = []
        for k, names in enumerate(layer._names):
            tensors, self._kept = layer.parameters_of(k), [*self._kept, []]
            for name, full, _ in names:
                self._keep(name, full, tensors[name].detach())
        for name, value in layer.named_parameters():
            if name not in self._buffers:  # learned states
                self.register_buffer(name, value.detach().clone())
        super().train(False)

    def _keep(self, name: str, full: str, value: Tensor) -> None:
        if value.dtype != torch.float32 or value.device.type != "cpu":
            raise InputError(f"{full} is {value.dtype} on {value.device}; quantize takes float32 on the CPU: .float().")
        if not value.isfinite().all():
            raise InputError(f"{full} has numbers that are not finite, so it cannot be rounded.")
        if name.startswith("weight_"):
            value, scale = round_rows(value)
            self._hold(name, full, value)
            self._hold(scale_name(name), scale_name(full), scale)
        else:
            self._hold(name, full, value.clone())

    def _hold(self, name: str, full: str, value: Tensor) -> None:
        self.register_buffer(full, value)
        self._kept[-1].append((name, full, value.shape, value.dtype))

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        extra: Further | None = None,
        seeds: Sequence[Tensor] | None = None,
    ) -> tuple[Any, Any]:
        """Run the layers over whole sequences or one step of them; see `Recurrent.forward`.

        Raises InputError also where an input or state asks for a gradient.
        """
        if lengths is None and not extra and isinstance(input, Tensor) and isinstance(hx, Tensor | tuple):
            states = (hx,) if isinstance(hx, Tensor) else hx
            if self._is_step(input, states) and (kernel := self._kernel()) is not None:
                job = Job(kernel, self.batch_first, False, None)
                y, *finals = call.forward(job, input, [s[0] for s in states], self.parameters_of(0), False)
                return y, self._pack_state([f.unsqueeze(0) for f in finals])
        return super().forward(input, hx, lengths, extra, seeds)  # type: ignore[arg-type, misc]

    def _is_step(self, x: Tensor, states: Sequence[Tensor]) -> bool:
        """Whether this is one step of one layer, with nobody watching: a stream, where every microsecond counts."""
        return (
            x.dim() == 3
            and x.shape[0 if not self.batch_first else 1] == 1
            and x.shape[2] == self.input_size
            and self.num_layers == 1
            and not (self.bidirectional or self._takes)
            and self.backend != "reference"
            and len(states) == len(self.state_sizes)
            and (B := x.shape[1 if not self.batch_first else 0]) > 0
            and all(
                isinstance(s, Tensor) and s.shape == (1, B, n) and s.is_contiguous()
                for s, n in zip(states, self.state_sizes, strict=True)
            )
            and all(t.dtype == torch.float32 and not t.requires_grad for t in (x, *states))
            and not (is_watched((x, *states)) or torch._C._functorch.peek_interpreter_stack() is not None)
        )

    def _kernel(self) -> Kernel | None:
        choice = kernel_or_refusal(self.running_cell, torch.int8)
        return choice if isinstance(choice, Kernel) else None

    def parameters_of(self, k: int) -> dict[str, Tensor]:
        """Weights, scales, biases and vectors of layer and direction k by the cell's names.

        Raises InputError for one that was replaced by another shape or dtype: a kernel would read past its end.
        """
        params = {name: self._buffers[full] for name, full, _, _ in self._kept[k]}
        for name, full, shape, dtype in self._kept[k]:
            value = params[name]
            if value is None or value.shape != shape or value.dtype != dtype:
                got = None if value is None else f"{tuple(value.shape)} of {value.dtype}"
                raise InputError(f"{full} is {got}; expected {tuple(shape)} of {dtype}, as the layer was made.")
        return params  # type: ignore[return-value]

    def train(self, mode: bool = True) -> Quantized:
        """Stay in inference mode, whatever the mode of the module around."""
        return super().train(False)

    def _check_input(self, x: Tensor, dims: tuple[int, ...]) -> None:
        check_input(x, dims, self.input_size, self._buffers[self._kept[0][-1][1]])

    def extra_repr(self) -> str:
        """The layer's arguments."""
        return f"{super().extra_repr()}, weights of eight bits"
