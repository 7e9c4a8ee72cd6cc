"""`Recurrent`: any cell as a layer, with torch.nn's arguments, shapes and parameter names."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gatework.cells import Cell, find
from gatework.compiler.launch import Backend, check_backend, recur
from gatework.compiler.ragged import Ragged
from gatework.compiler.weights import parameter_shapes
from gatework.errors import InputError

State = Tensor | tuple[Tensor, ...]


class Recurrent(nn.Module):
    """Any cell as a layer, with torch.nn's arguments, shapes and parameter names.

    Args:
        cell: a name of the catalogue ("peephole-lstm"), a `Cell` class, or a cell with options (`JANET(beta=0.5)`).
        input_size: features I of the input, >= 0.
        hidden_size: units H of each layer and direction, >= 1.
        num_layers: stacked layers L, >= 1.
        bias: learn input and recurrent biases.
        batch_first: inputs and outputs are [B, T, ...] instead of [T, B, ...]; states never are.
        dropout: probability in 0..1 of dropping an output of every layer but the last, in training.
        bidirectional: a second set of weights runs backwards in time; outputs are concatenated.
        forget_bias: start of the forget gate's summed bias, or None for torch's uniform start.
        chrono: the longest time lag to remember; gate biases start as in Tallec & Ollivier, arXiv:1804.11188, eq. 16.
        backend: "auto" compiles and falls back to the reference with a word about why; "cpp" never falls back;
            "reference" runs the equations in a Python loop.

    Raises InputError for arguments out of range.
    """

    def __init__(
        self,
        cell: str | type[Cell] | Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        forget_bias: float | None = None,
        chrono: float | None = None,
        backend: Backend = "auto",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.cell = find(cell)
        for name, value, least in (
            ("input_size", input_size, 0),
            ("hidden_size", hidden_size, 1),
            ("num_layers", num_layers, 1),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InputError(f"{name} is {value!r}; expected a whole number >= {least}.")
        if not isinstance(dropout, int | float) or isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise InputError(f"dropout is {dropout!r}; expected a probability in 0..1.")
        if dropout and num_layers == 1:
            warnings.warn(
                "dropout acts between layers, so it does nothing with num_layers=1.", UserWarning, stacklevel=2
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, float(dropout), bidirectional
        self.forget_bias, self.chrono, self.backend = forget_bias, chrono, check_backend(backend)
        # of each layer and direction: (name in the cell, name in the module, shape)
        self._names: list[tuple[tuple[str, str, tuple[int, ...]], ...]] = []
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * self.num_directions
            for suffix in ("", "_reverse")[: self.num_directions]:
                shapes = parameter_shapes(self.cell, width, hidden_size, bias)
                self._names.append(tuple((n, f"{n}_l{layer}{suffix}", shape) for n, shape in shapes.items()))
                for name, shape in shapes.items():
                    parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                    self.register_parameter(f"{name}_l{layer}{suffix}", parameter)
        self.reset_parameters()

    @property
    def num_directions(self) -> int:
        """2 when bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction, as torch.nn gives them."""
        return [[getattr(self, full) for _, full, _ in names] for names in self._names]

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/sqrt(H), 1/sqrt(H)), then set declared starts and gate biases."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        for names in self._names:
            params = {name: getattr(self, full) for name, full, _ in names}
            for name, parameter in params.items():
                if name in self.cell.declared and self.cell.declared[name].start is not None:
                    nn.init.constant_(parameter, self.cell.declared[name].start)  # type: ignore[arg-type]
            self._start_gates(params)

    @torch.no_grad()
    def _start_gates(self, params: dict[str, Tensor]) -> None:
        if self.forget_bias is None and self.chrono is None:
            return
        forget = self.cell.forget_gate
        if forget is None:
            raise InputError(f"cell {self.cell.name} names no forget gate, so forget_bias and chrono do not apply.")
        if not self.bias:
            raise InputError("forget_bias and chrono need bias=True.")
        if self.forget_bias is not None and self.chrono is not None:
            raise InputError("give forget_bias or chrono, not both: each sets the forget gate's bias.")
        gates, H = self.cell.gate_names, self.hidden_size
        rows = {gate: slice(k * H, (k + 1) * H) for k, gate in enumerate(gates)}
        starts: dict[str, Tensor | float] = {}
        if self.chrono is not None:
            if self.chrono <= 2:
                raise InputError(f"chrono is {self.chrono}; expected the longest time lag in steps, > 2.")
            starts[forget] = torch.empty_like(params["bias_ih"][rows[forget]]).uniform_(1, self.chrono - 1).log_()
            if self.cell.input_gate is not None:
                starts[self.cell.input_gate] = -starts[forget]
        else:
            assert self.forget_bias is not None
            starts[forget] = self.forget_bias
        for gate, start in starts.items():
            params["bias_ih"][rows[gate]] = start
            params["bias_hh"][rows[gate]] = 0.0

    @overload
    def forward(
        self, input: Tensor, hx: State | None = None, lengths: Tensor | Sequence[int] | None = None
    ) -> tuple[Tensor, Any]: ...

    @overload
    def forward(
        self, input: PackedSequence, hx: State | None = None, lengths: None = None
    ) -> tuple[PackedSequence, Any]: ...

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
    ) -> tuple[Tensor | PackedSequence, Any]:
        """Run the layers over whole sequences.

        Args:
            input: [T, B, I], [B, T, I] with batch_first, [T, I] for one sequence, or a PackedSequence.
            hx: initial states, each [L * D, B, H] ([L * D, H] for one sequence): one tensor for a cell with one state,
                else a tuple in the cell's order. None means zeros. A state returned by one call continues in the next.
            lengths: [B] whole numbers in 0..T for padded batches. Steps past a row's length cost nothing, change
                nothing and come out as zeros; the row's final state is that of its last step.

        Returns:
            outputs of the last layer [T, B, D * H] (or [B, T, D * H], [T, D * H], PackedSequence), and the final
            states in the form of `hx`.

        Raises InputError when shapes, dtypes or lengths do not fit.
        """
        if not isinstance(hx, Tensor | tuple | list | None):
            raise InputError(f"hx is {type(hx).__name__}; expected a tensor or a tuple of tensors: {self.cell.states}.")
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise InputError("a PackedSequence carries its lengths; leave `lengths` out.")
            self._check_input(input.data, (2,))
            packed = Ragged.of_packed(input)
            order, back = input.sorted_indices, input.unsorted_indices
            states = self._states(hx, packed.batch_sizes[0], input.data)
            states = [s if order is None else s.index_select(1, order) for s in states]
            y, finals = self._layers(input.data, states, packed, False)
            finals = [f if back is None else f.index_select(1, back) for f in finals]
            return PackedSequence(y, input.batch_sizes, order, back), self._pack_state(finals)
        self._check_input(input, (2, 3))
        if input.dim() == 2:
            if lengths is not None:
                raise InputError("lengths came with one unbatched sequence [T, I]; cut the sequence instead.")
            y, state = self.forward(input.unsqueeze(1 if not self.batch_first else 0), self._batched(hx))
            return y.squeeze(1 if not self.batch_first else 0), self._map(state, lambda s: s.squeeze(1))
        B, T = input.shape[:2] if self.batch_first else (input.shape[1], input.shape[0])
        states = self._states(hx, B, input)
        ragged = None if lengths is None else Ragged.of_lengths(lengths, T, B)
        y, finals = self._layers(input, states, ragged, self.batch_first)
        return y, self._pack_state(finals)

    def _layers(
        self, x: Tensor, states: Sequence[Tensor], ragged: Ragged | None, batch_first: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """All layers and directions; states and finals are [L * D, B, H] each."""
        D, finals = self.num_directions, []
        per_layer = [s.unbind(0) for s in states]
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(D):
                k = layer * D + direction
                y, final = recur(
                    self.cell,
                    x,
                    [s[k] for s in per_layer],
                    self._params(k),
                    ragged=ragged,
                    batch_first=batch_first,
                    reverse=direction == 1,
                    backend=self.backend,
                )
                outputs.append(y)
                finals.append(final)
            x = outputs[0] if D == 1 else torch.cat(outputs, -1)
            if self.dropout and self.training and layer < self.num_layers - 1:
                x = nn.functional.dropout(x, self.dropout)
        if len(finals) == 1:
            return x, [f.unsqueeze(0) for f in finals[0]]
        return x, [torch.stack(parts) for parts in zip(*finals, strict=True)]

    def _params(self, k: int) -> dict[str, Tensor]:
        """Parameters of one layer and direction, checked: a kernel would read past the end of one that was replaced."""
        params = {name: getattr(self, full) for name, full, _ in self._names[k]}
        dtype = params["weight_ih"].dtype
        for name, full, shape in self._names[k]:
            if params[name].shape != shape or params[name].dtype != dtype:
                got = f"{tuple(params[name].shape)} of {params[name].dtype}"
                raise InputError(f"parameter {full} is {got}; expected {shape} of {dtype}, as the layer was made.")
        return params

    def _check_input(self, x: Tensor, dims: tuple[int, ...]) -> None:
        if not isinstance(x, Tensor):
            raise InputError(f"input is {type(x).__name__}; expected a tensor or a PackedSequence.")
        if x.dim() not in dims:
            raise InputError(
                f"input has shape {tuple(x.shape)}; expected [T, B, {self.input_size}] or [T, {self.input_size}]."
            )
        if x.shape[-1] != self.input_size:
            raise InputError(
                f"input has {x.shape[-1]} features (shape {tuple(x.shape)}); input_size is {self.input_size}."
            )
        weight = getattr(self, self._names[0][0][1])
        if x.dtype != weight.dtype and not (x.is_floating_point() and torch.is_autocast_enabled(x.device.type)):
            raise InputError(
                f"input is {x.dtype}, the layer's weights are {weight.dtype}; convert one: x.to({weight.dtype})."
            )
        if x.device != weight.device:
            raise InputError(f"input is on {x.device}, the layer on {weight.device}; move one with .to(...).")

    def _states(self, hx: State | None, B: int, like: Tensor) -> list[Tensor]:
        names, shape = self.cell.states, (self.num_layers * self.num_directions, B, self.hidden_size)
        if hx is None:
            zeros = like.new_zeros(shape)
            return [zeros] * len(names)
        given = (hx,) if isinstance(hx, Tensor) else tuple(hx)
        if len(given) != len(names):
            raise InputError(
                f"hx has {len(given)} state(s); cell {self.cell.name} has {len(names)}: {', '.join(names)}."
            )
        for name, state in zip(names, given, strict=True):
            if not isinstance(state, Tensor):
                raise InputError(f"state {name} is {type(state).__name__}; expected a tensor {shape}.")
            if state.shape != shape:
                raise InputError(
                    f"state {name} has shape {tuple(state.shape)}; expected {shape} = [layers * directions, B, H]."
                )
            if state.dtype != like.dtype and not torch.is_autocast_enabled(like.device.type):
                raise InputError(f"state {name} is {state.dtype}, the input {like.dtype}; convert one.")
            if state.device != like.device:
                raise InputError(f"state {name} is on {state.device}, the input on {like.device}; move it: .to(...).")
        return list(given)

    def _batched(self, hx: State | None) -> State | None:
        if hx is None:
            return None
        for state in (hx,) if isinstance(hx, Tensor) else hx:
            if not isinstance(state, Tensor) or state.dim() != 2:
                got = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
                raise InputError(f"one sequence [T, I] came with a state {got}; expected [L * directions, H].")
        batched: State = self._map(hx, lambda s: s.unsqueeze(1))
        return batched

    @staticmethod
    def _map(state: Any, function: Any) -> Any:
        return function(state) if isinstance(state, Tensor) else tuple(function(s) for s in state)

    @staticmethod
    def _pack_state(finals: Sequence[Tensor]) -> State:
        return finals[0] if len(finals) == 1 else tuple(finals)

    def flatten_parameters(self) -> None:
        """Present for code written for torch.nn; there is nothing to flatten."""

    def extra_repr(self) -> str:
        """The arguments that differ from their defaults."""
        parts = [f"{self.cell!r}, {self.input_size}, {self.hidden_size}"]
        defaults = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "backend": "auto",
        }
        parts += [f"{key}={getattr(self, key)}" for key, value in defaults.items() if getattr(self, key) != value]
        return ", ".join(parts)
