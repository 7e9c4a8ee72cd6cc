"""Any cell over images, volumes or lines: its matrices become convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gatework.cells import Cell, find
from gatework.cells.declarations import Extra, Noise, Vector
from gatework.cells.generator import new_seed
from gatework.compiler.launch import Backend, check_backend
from gatework.compiler.ragged import Ragged
from gatework.compiler.spatial import Fields, recur_field
from gatework.compiler.weights import buffer_names, parameter_shapes, state_widths
from gatework.errors import InputError
from gatework.nn.inputs import State, check_states, further_inputs
from gatework.nn.starts import start

_AXES = {1: "W", 2: "H, W", 3: "D, H, W"}


class ConvRecurrent(nn.Module):
    """Any cell over a field: each position has its own state, and matrices see the positions around it.

    Every product `W x` and `U h` of the cell becomes a convolution with zeros around the field, whose sizes stay; all
    else acts on each position alone. With the LSTM's equations this is the ConvLSTM of Shi et al., arXiv:1506.04214;
    with "peephole-lstm" and `spatial_size`, in which every position has its own peephole weights, its eq. 3.

    Args:
        cell: a name of the catalogue, a `Cell` class, or a cell with options.
        in_channels: channels I of the input, >= 1.
        hidden_channels: the cell's units, C channels of each layer and direction, >= 1.
        kernel_size: of the input's convolution: an odd number, or one for each axis.
        num_layers: stacked layers L, >= 1.
        bias: learn biases of both convolutions.
        batch_first: inputs and outputs are [B, T, ...] instead of [T, B, ...]; states never are.
        dropout: probability in 0..1 of dropping an output of every layer but the last, in training.
        bidirectional: a second set of weights runs backwards in time; outputs are concatenated.
        dims: axes of the field: 1 (lines), 2 (images) or 3 (volumes).
        recurrent_kernel_size: of the states' convolution; None means `kernel_size`.
        spatial_size: sizes of the field, so that the cell's vectors (peepholes) differ from position to position; None
            gives each channel one number at all positions, for fields of any size.
        forget_bias: start of the forget gate's summed bias, or None for torch's uniform start.
        backend: "auto" compiles and falls back to the reference with a word about why; "cpp" never falls back;
            "reference" runs the equations in a Python loop.

    Parameters: weight_ih_l0 [G * C, I, *kernel], weight_hh_l0 [n * C, C, *kernel], bias_ih_l0 and bias_hh_l0 [G * C],
    the gates in the cell's order (LSTM: i, f, g, o), and vectors [n, C] or [n, C, *spatial_size].

    Raises InputError for arguments out of range.

    Example:
        >>> import torch
        >>> layer = ConvRecurrent("cifg", 3, 8, kernel_size=3)
        >>> y, (h, c) = layer(torch.zeros(5, 2, 3, 16, 12))
        >>> y.shape, h.shape
        (torch.Size([5, 2, 8, 16, 12]), torch.Size([1, 2, 8, 16, 12]))
    """

    def __init__(
        self,
        cell: str | type[Cell] | Cell,
        in_channels: int,
        hidden_channels: int,
        kernel_size: int | Sequence[int],
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        dims: int = 2,
        recurrent_kernel_size: int | Sequence[int] | None = None,
        spatial_size: Sequence[int] | None = None,
        forget_bias: float | None = None,
        backend: Backend = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.cell, self.dims = find(cell), dims
        numbers = {"in_channels": in_channels, "hidden_channels": hidden_channels, "num_layers": num_layers}
        for name, value in numbers.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} is {value!r}; expected a whole number >= 1.")
        if dims not in _AXES:
            raise InputError(f"dims is {dims!r}; expected 1, 2 or 3 axes of the field.")
        if not isinstance(dropout, int | float) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise InputError(f"dropout is {dropout!r}; expected a probability in 0..1.")
        self.in_channels, self.hidden_channels, self.num_layers = in_channels, hidden_channels, num_layers
        self.kernel_size = _sizes("kernel_size", kernel_size, dims, odd=True)
        self.recurrent_kernel_size = self.kernel_size
        if recurrent_kernel_size is not None:
            self.recurrent_kernel_size = _sizes("recurrent_kernel_size", recurrent_kernel_size, dims, odd=True)
        self.spatial_size = None if spatial_size is None else _sizes("spatial_size", spatial_size, dims, odd=False)
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, float(dropout), bidirectional
        self.forget_bias, self.backend = forget_bias, check_backend(backend)
        self._check_cell()
        self.state_channels = tuple(state_widths(self.cell, hidden_channels, in_channels))
        # of each layer and direction: (name in the cell, name in the module, shape)
        self._names: list[tuple[tuple[str, str, tuple[int, ...]], ...]] = []
        for k in range(num_layers * self.num_directions):
            suffix = f"_l{k // self.num_directions}{'_reverse' if k % self.num_directions else ''}"
            shapes, fixed = self._shapes(k), buffer_names(self.cell)
            self._names.append(tuple((n, n + suffix, shape) for n, shape in shapes.items()))
            for name, shape in shapes.items():
                values = torch.empty(shape, device=device, dtype=dtype)
                if name in fixed:
                    self.register_buffer(name + suffix, values)
                else:
                    self.register_parameter(name + suffix, nn.Parameter(values))
        self.reset_parameters()

    @property
    def num_directions(self) -> int:
        """2 when bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    def _check_cell(self) -> None:
        cell = self.cell
        for key, declared in cell.declared.items():
            form = getattr(declared, "form", "dense")
            if key in cell.arguments and form != "dense":
                raise InputError(f"cell {cell.name} has matrices of form {form!r}, which convolutions do not have.")
        if self.spatial_size is not None and not cell.entries(Vector):
            raise InputError(f"cell {cell.name} has no vectors, so spatial_size={self.spatial_size} would do nothing.")

    def _shapes(self, k: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters of layer and direction k: matrices become kernels."""
        cell, width = self.cell, self.width_of(k)
        shapes = parameter_shapes(cell, width, self.hidden_channels, self.bias)
        vectors = {key for key, _, _ in cell.entries(Vector)}
        for name, shape in shapes.items():
            if name in vectors:
                shapes[name] = (*shape, *(self.spatial_size or ()))
            elif name.startswith("weight_"):
                shapes[name] = (*shape, *(self.kernel_size if name == "weight_ih" else self.recurrent_kernel_size))
        return shapes

    def width_of(self, k: int) -> int:
        """Channels of the input of one layer and direction."""
        return self.in_channels if k < self.num_directions else self.state_channels[0] * self.num_directions

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights from U(-b, b), b = 1 / sqrt(C * kernel's positions); the rest as in `Recurrent`.

        Where the cell has starting values of its own, they stand in the middle of the kernels, between zeros.
        """
        own = type(self.cell).initialise is not Cell.initialise
        for k, names in enumerate(self._names):
            flat = parameter_shapes(self.cell, self.width_of(k), self.hidden_channels, self.bias)
            params = {name: getattr(self, full) for name, full, _ in names}
            values = {name: params[name].new_empty(shape) for name, shape in flat.items()}
            start(self.cell, values, self.hidden_channels, self.width_of(k), self.forget_bias)
            for name, parameter in params.items():
                middle = tuple(size // 2 for size in parameter.shape[2:])
                if parameter.shape == values[name].shape or not name.startswith("weight_"):
                    parameter.copy_(values[name].view(*flat[name], *(1 for _ in middle)))
                elif own or name in buffer_names(self.cell):
                    parameter.zero_()[(..., *middle)] = values[name]
                else:
                    bound = (self.hidden_channels * parameter[0, 0].numel()) ** -0.5
                    nn.init.uniform_(parameter, -bound, bound)

    def forward(
        self,
        input: Tensor,
        hx: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        extra: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, Any]:
        """Run the layers over whole sequences.

        Args:
            input: [T, B, I, *S], or [B, T, I, *S] with batch_first; S stands for the `dims` sizes of the field.
            hx: initial states, each [L * D, B, C, *S]: one tensor for a cell with one state, else a tuple in the cell's
                order. None means zeros. A state returned by one call continues in the next.
            lengths: [B] whole numbers in 0..T for padded batches. Steps past a row's length cost nothing, change
                nothing and come out as zeros; the row's final state is that of its last step.
            extra: what the cell takes at each step beside the input, by name, [T, B, size] or [B, T, size], the same at
                all positions.

        Returns:
            outputs of the last layer [T, B, D * C, *S] (or [B, T, ...]), and the final states in the form of `hx`. In
            memory the channels of a position lie side by side (torch.channels_last).

        Raises InputError when shapes, dtypes or lengths do not fit.
        """
        self._check_input(input)
        x = input.transpose(0, 1) if self.batch_first else input
        T, B, *field = x.shape[:2] + x.shape[3:]
        states = self._states(hx, B, field, x)
        ragged = None if lengths is None else Ragged.of_lengths(lengths, T, B)
        further = self._further(extra, x, ragged)
        if self.dims == 1:  # a line is an image one row high
            x, states = x.unsqueeze(-2), [s.unsqueeze(-2) for s in states]
        if ragged is None:
            images, sizes = x.flatten(0, 1), (B,) * T if B else ()
        else:
            images = ragged.pack(x.flatten(2)).view(-1, *x.shape[2:])
            sizes, states = ragged.batch_sizes, [torch.stack([ragged.sort(row) for row in s]) for s in states]
            further = {name: ragged.pack(value.view(T, B, -1)) for name, value in further.items()}
        order = None if ragged is None else ragged.order
        fields = Fields(images, states, sizes, zero_start=hx is None, extra=further, order=order)
        y, finals = self._layers(fields)
        if ragged is None:
            y = y.view(T, B, *y.shape[1:])
        else:
            y = ragged.pad(y.flatten(1), T, B).view(T, B, *y.shape[1:])
            finals = [torch.stack([ragged.unsort(row) for row in final]) for final in finals]
        if self.dims == 1:
            y, finals = y.squeeze(-2), [final.squeeze(-2) for final in finals]
        y = y.transpose(0, 1) if self.batch_first else y
        return y, finals[0] if len(finals) == 1 else tuple(finals)

    def _layers(self, fields: Fields) -> tuple[Tensor, list[Tensor]]:
        """All layers and directions, over packed images; states and finals are [L * D, B, C, *S] each."""
        D, finals, noisy = self.num_directions, [], bool(self.cell.entries(Noise))
        for layer in range(self.num_layers):
            outputs = []
            for k in range(layer * D, (layer + 1) * D):
                states, seed = [s[k] for s in fields.states], new_seed() if noisy else None
                one = replace(fields, states=states, reverse=k % D == 1, seed=seed)
                y, final = recur_field(self.cell, one, self.parameters_of(k), self.hidden_channels, self.backend)
                outputs.append(y)
                finals.append(final)
            x = outputs[0] if D == 1 else torch.cat(outputs, 1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = nn.functional.dropout(x, self.dropout)
            fields = replace(fields, x=x)
        return fields.x, [torch.stack(parts) for parts in zip(*finals, strict=True)]

    def parameters_of(self, k: int) -> dict[str, Tensor]:
        """Parameters of layer and direction k = layer * D + direction by the cell's names, as convolutions take them.

        Raises InputError for one that was replaced by another shape or dtype.
        """
        params = {}
        for name, full, shape in self._names[k]:
            value, dtype = getattr(self, full), getattr(self, self._names[k][0][1]).dtype
            if value.shape != shape or value.dtype != dtype:
                got = f"{tuple(value.shape)} of {value.dtype}"
                raise InputError(f"parameter {full} is {got}; expected {shape} of {dtype}, as the layer was made.")
            params[name] = value.unsqueeze(-2) if self.dims == 1 and value.dim() == 3 else value
        return params

    def _further(self, extra: Mapping[str, Tensor] | None, x: Tensor, ragged: Ragged | None) -> dict[str, Tensor]:
        """Inputs of each step by "declaration.name", [T * B, size]."""
        entries = self.cell.entries(Extra)
        sizes = {
            f"{key}.{n}": self.cell.measure(d.size, self.hidden_channels, self.in_channels) for key, n, d in entries
        }
        like = x.new_empty((*x.shape[:2], 1))
        given = {name: value.transpose(0, 1) if self.batch_first else value for name, value in (extra or {}).items()}
        found = further_inputs(self.cell, given, like, sizes, ragged, False)
        return {name: value.flatten(0, 1) for name, value in found.items()}

    def _check_input(self, x: Tensor) -> None:
        axes = f"{'B, T' if self.batch_first else 'T, B'}, {self.in_channels}, {_AXES[self.dims]}"
        if not isinstance(x, Tensor):
            raise InputError(f"input is {type(x).__name__}; expected a tensor [{axes}].")
        if x.dim() != 3 + self.dims or x.shape[2] != self.in_channels or not all(x.shape[3:]):
            raise InputError(f"input has shape {tuple(x.shape)}; expected [{axes}].")
        if self.spatial_size is not None and tuple(x.shape[3:]) != self.spatial_size:
            raise InputError(f"the field is {tuple(x.shape[3:])}; spatial_size is {self.spatial_size}.")
        weight = getattr(self, self._names[0][0][1])
        if x.dtype != weight.dtype and not (x.is_floating_point() and torch.is_autocast_enabled(x.device.type)):
            raise InputError(
                f"input is {x.dtype}, the layer's weights are {weight.dtype}; convert one: x.to({weight.dtype})."
            )
        if x.device != weight.device:
            raise InputError(f"input is on {x.device}, the layer on {weight.device}; move one with .to(...).")

    def _states(self, hx: State | None, B: int, field: Sequence[int], like: Tensor) -> list[Tensor]:
        rows = self.num_layers * self.num_directions
        return check_states(self.cell, hx, [(rows, B, width, *field) for width in self.state_channels], like)

    def extra_repr(self) -> str:
        """The arguments that differ from their defaults."""
        parts = [f"{self.cell!r}, {self.in_channels}, {self.hidden_channels}, kernel_size={self.kernel_size}"]
        defaults: dict[str, Any] = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "recurrent_kernel_size": self.kernel_size,
            "spatial_size": None,
            "backend": "auto",
        }
        parts += [f"{key}={getattr(self, key)}" for key, value in defaults.items() if getattr(self, key) != value]
        return ", ".join(parts)


def _sizes(name: str, value: int | Sequence[int], dims: int, odd: bool) -> tuple[int, ...]:
    """One size for each axis.  Raises InputError for others than whole numbers >= 1, odd ones for a kernel."""
    sizes = (value,) * dims if isinstance(value, int) else tuple(value)
    kind = "odd number" if odd else "whole number"
    fits = all(isinstance(s, int) and not isinstance(s, bool) and s >= 1 and (s % 2 or not odd) for s in sizes)
    if len(sizes) != dims or not fits:
        raise InputError(f"{name} is {value!r}; expected {dims} {kind}(s) >= 1, one for each axis of the field.")
    return sizes
