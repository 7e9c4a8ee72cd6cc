"""`Recurrent`: any cell as a layer, with torch.nn's arguments, shapes and parameter names."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gatework.cells import Cell, find
from gatework.cells.declarations import Extra
from gatework.cells.generator import new_seed
from gatework.compiler.launch import Backend, check_backend
from gatework.compiler.ragged import Ragged
from gatework.compiler.weights import buffer_names, dense_parameters, parameter_shapes, state_widths
from gatework.errors import InputError
from gatework.nn.inputs import (
    Further,
    State,
    check_arguments,
    check_input,
    check_states,
    each_state,
    extra_of_one,
    further_inputs,
    state_of_one,
)
from gatework.nn.regularisers import Rate, Regularisers
from gatework.nn.saving import Save, check_save
from gatework.nn.stack import run_stack
from gatework.nn.starts import start


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
        heads: make the recurrent matrices U block-diagonal with that many equal blocks; None leaves them as declared.
        zoneout: probability in [0, 1) that a unit keeps its old state in training, for all states or
            {"h": .05, "c": .5}; in evaluation the expectation. arXiv:1606.01305.
        recurrent_dropout: probability in [0, 1) of dropping what is written into the memory, anew at every step, in
            training; the memory is never lost. The cell marks it with `self.drop`. arXiv:1603.05118.
        variational_dropout: probability in [0, 1) of dropping features of the input and units of the recurrent
            operand, the same at every step of a sequence, in training; or {"input": .3, "recurrent": .2}.
            arXiv:1512.05287.
        weight_drop: probability in [0, 1) of dropping elements of the recurrent matrices, once for each call, in
            training (DropConnect). arXiv:1708.02182.
        learned_state: learn the state from which sequences start where a call gives none: parameters <state>0_l0, ...
            [width], which start as zeros.
        save: what is kept for backward. "gates": everything, the fastest. "states": the layers' outputs; backward runs
            each layer forward once more. "chunks": states about every sqrt(T) steps, and backward runs one such chunk
            forward at a time, so that beside inputs and outputs memory grows with sqrt(T). All give equal gradients.

    Attributes:
        state_sizes: width of each state; H where the cell does not say otherwise.
        output_size: width of the outputs of one direction, that of the first state.

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
        heads: int | None = None,
        zoneout: Rate = 0.0,
        recurrent_dropout: float = 0.0,
        variational_dropout: Rate = 0.0,
        weight_drop: float = 0.0,
        learned_state: bool = False,
        save: Save = "gates",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.cell = find(cell)
        if heads is not None:
            if not isinstance(heads, int) or isinstance(heads, bool) or heads < 1:
                raise InputError(f"heads is {heads!r}; expected a whole number >= 1 that divides hidden_size.")
            self.cell = self.cell.with_heads(heads)
        check_arguments(input_size, hidden_size, num_layers, dropout)
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, float(dropout), bidirectional
        self.forget_bias, self.chrono, self.backend = forget_bias, chrono, check_backend(backend)
        self.save, self.learned_state = check_save(save), learned_state
        self.state_sizes = tuple(state_widths(self.cell, hidden_size, input_size))
        self.output_size = self.state_sizes[0]
        self._takes = self._further(input_size)
        self.regularisers = Regularisers(
            self.cell, hidden_size, input_size, zoneout, recurrent_dropout, variational_dropout, weight_drop
        )
        self._structured = any(
            getattr(self.cell.declared[key], "form", "dense") != "dense" for key in self.cell.arguments
        )
        # of each layer and direction: (name in the cell, name in the module, shape)
        self._names: list[tuple[tuple[str, str, tuple[int, ...]], ...]] = []
        for k in range(num_layers * self.num_directions):
            self._register(k, device, dtype)
        self.reset_parameters()

    def _register(self, k: int, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
        """Make the parameters of layer and direction k."""
        end = f"_l{k // self.num_directions}{'_reverse' if k % self.num_directions else ''}"
        self._check_widths(k)
        shapes = parameter_shapes(self.cell, self.width_of(k), self.hidden_size, self.bias)
        self._names.append(tuple((name, name + end, shape) for name, shape in shapes.items()))
        for name, shape in shapes.items():
            values = torch.empty(shape, device=device, dtype=dtype)
            if name in buffer_names(self.cell):
                self.register_buffer(name + end, values)
            else:
                self.register_parameter(name + end, nn.Parameter(values))
        if self.learned_state:
            for state, width in zip(self.cell.states, self.state_sizes, strict=True):
                self.register_parameter(f"{state}0{end}", nn.Parameter(torch.zeros(width, device=device, dtype=dtype)))

    @property
    def num_directions(self) -> int:
        """2 when bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters of each layer and direction, as torch.nn gives them."""
        return [[getattr(self, full) for _, full, _ in names] for names in self._names]

    @property
    def running_cell(self) -> Cell:
        """The cell that runs in the present mode: the layer's own, or that with its regularisers."""
        return self.regularisers.training if self.training else self.regularisers.evaluation

    def _check_widths(self, k: int) -> None:
        """Raise InputError where the width of a state or further input would change from layer to layer."""
        cell, H, I = self.cell, self.hidden_size, self.width_of(k)  # noqa: E741
        if tuple(state_widths(cell, H, I)) != self.state_sizes or self._further(I) != self._takes:
            raise InputError(
                f"cell {cell.name} counts a state or an input of each step from I, which is {I} in layer 1 and "
                f"{self.input_size} in layer 0; use layers of num_layers=1, one after the other."
            )

    def _further(self, input_size: int) -> dict[str, int]:
        """Widths of the inputs of each step beside x."""
        entries = self.cell.entries(Extra)
        return {f"{key}.{n}": self.cell.measure(d.size, self.hidden_size, input_size) for key, n, d in entries}

    def reset_parameters(self) -> None:
        """Draw every parameter from U(-1/sqrt(H), 1/sqrt(H)), then set what the cell and the arguments say."""
        for k, names in enumerate(self._names):
            params = {name: getattr(self, full) for name, full, _ in names}
            start(self.cell, params, self.hidden_size, self.width_of(k), self.forget_bias, self.chrono)
        for initial in itertools.chain(*self.initial_states()):
            nn.init.zeros_(initial)

    @overload
    def forward(
        self,
        input: Tensor,
        hx: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        extra: Further | None = None,
        seeds: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, Any]: ...

    @overload
    def forward(
        self,
        input: PackedSequence,
        hx: State | None = None,
        lengths: None = None,
        extra: Further | None = None,
        seeds: Sequence[Tensor] | None = None,
    ) -> tuple[PackedSequence, Any]: ...

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: State | None = None,
        lengths: Tensor | Sequence[int] | None = None,
        extra: Further | None = None,
        seeds: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor | PackedSequence, Any]:
        """Run the layers over whole sequences.

        Args:
            input: [T, B, I], [B, T, I] with batch_first, [T, I] for one sequence, or a PackedSequence.
            hx: initial states, each [L * D, B, H] ([L * D, H] for one sequence): one tensor for a cell with one state,
                else a tuple in the cell's order. None means zeros. A state returned by one call continues in the next.
                A state that the cell declares with another width has that one instead of H.
            lengths: [B] whole numbers in 0..T for padded batches. Steps past a row's length cost nothing, change
                nothing and come out as zeros; the row's final state is that of its last step.
            extra: what the cell takes at each step beside the input (`per_step`), by name, each laid out like the input
                with its own last axis, which may be left out where it is 1. Every layer receives the same.
            seeds: what the regularisers draw from, as `seeds()` gives them; None draws new ones from torch's generator.

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
            return self._packed(input, hx, extra, seeds)
        self._check_input(input, (2, 3))
        if input.dim() == 2:
            if lengths is not None:
                raise InputError("lengths came with one unbatched sequence [T, I]; cut the sequence instead.")
            axis = 1 if not self.batch_first else 0
            x, one = input.unsqueeze(axis), extra_of_one(extra, input, axis)
            y, state = self.forward(x, state_of_one(hx), extra=one, seeds=seeds)
            return y.squeeze(axis), each_state(state, lambda s: s.squeeze(1))
        B, T = input.shape[:2] if self.batch_first else (input.shape[1], input.shape[0])
        states = self._states(hx, B, input)
        ragged = None if lengths is None else Ragged.of_lengths(lengths, T, B)
        further, used = self.further(extra, input, ragged), self._seeds(seeds)
        y, finals = run_stack(self, input, states, ragged, self.batch_first, further, used)
        return y, self._pack_state(finals)

    def _packed(
        self, input: PackedSequence, hx: State | None, extra: Further | None, seeds: Sequence[Tensor] | None
    ) -> tuple[PackedSequence, State]:
        self._check_input(input.data, (2,))
        ragged, x, used = Ragged.of_packed(input), input.data, self._seeds(seeds)
        order, back = input.sorted_indices, input.unsorted_indices
        T, B = len(ragged.batch_sizes), ragged.batch_sizes[0]
        states, further = self._states(hx, B, x), self.further(extra, x, ragged)
        if order is not None and used:  # random numbers count the rows of the batch as they were given
            given = replace(ragged, order=order.cpu(), packed=False)
            further = {name: given.pad(value, T, B) for name, value in further.items()}
            y, finals = run_stack(self, given.pad(x, T, B), states, given, False, further, used)
            return PackedSequence(given.pack(y), input.batch_sizes, order, back), self._pack_state(finals)
        states = [s if order is None else s.index_select(1, order) for s in states]
        y, finals = run_stack(self, x, states, ragged, False, further, used)
        finals = [f if back is None else f.index_select(1, back) for f in finals]
        return PackedSequence(y, input.batch_sizes, order, back), self._pack_state(finals)

    def further(self, extra: Further | None, x: Tensor, ragged: Ragged | None = None) -> dict[str, Tensor]:
        """What the cell takes at each step beside x, by "declaration.name", [..., size] in the layout of x.

        Raises InputError for one that the cell does not take, lacks, or of another shape, dtype or device.
        """
        if not extra and not self._takes:
            return {}
        return further_inputs(self.cell, extra, x, self._takes, ragged, self.batch_first)

    def seeds(self) -> list[Tensor]:
        """What a call in the present mode draws from: int64 [2] for each layer and direction, or nothing.

        The first number is the seed, from torch's generator; the second is the position of the call's first step in its
        sequences, 0. A call that continues others with their seeds and a later position draws what one call would.
        """
        return [new_seed() for _ in self._names] if self.regularisers.draws[self.training] else []

    def _seeds(self, given: Sequence[Tensor] | None) -> list[Tensor]:
        if given is None or not self.regularisers.draws[self.training]:
            return self.seeds()
        n = len(self._names)
        for seed in given:
            if not isinstance(seed, Tensor) or seed.shape != (2,) or seed.dtype != torch.int64:
                got = f"{tuple(seed.shape)} of {seed.dtype}" if isinstance(seed, Tensor) else type(seed).__name__
                raise InputError(f"seeds has {got}; expected int64 tensors of shape (2,), as seeds() gives them.")
        if len(given) != n:
            raise InputError(f"seeds has {len(given)} entries; expected {n}, one for each layer and direction.")
        return list(given)

    def parameters_of(self, k: int) -> dict[str, Tensor]:
        """Parameters of layer and direction k = layer * D + direction by the cell's names, structured ones made dense.

        Raises InputError for one that was replaced by another shape: a kernel would read past its end.
        """
        params: dict[str, Tensor] = {}
        for name, full, _ in self._names[k]:  # first where they are as a rule: getattr costs a stream's step 2 us more
            own = self._parameters.get(full)
            params[name] = getattr(self, full) if own is None else own
        dtype = next(iter(params.values())).dtype if params else None
        for name, full, shape in self._names[k]:
            if params[name].shape != shape or params[name].dtype != dtype:
                got = f"{tuple(params[name].shape)} of {params[name].dtype}"
                raise InputError(f"parameter {full} is {got}; expected {shape} of {dtype}, as the layer was made.")
        return dense_parameters(self.cell, params, self.hidden_size, self.width_of(k)) if self._structured else params

    def width_of(self, k: int) -> int:
        """Features of the input of one layer and direction."""
        return self.input_size if k < self.num_directions else self.output_size * self.num_directions

    def _check_input(self, x: Tensor, dims: tuple[int, ...]) -> None:
        weight = getattr(self, self._names[0][0][1]) if self._names[0] else None
        check_input(x, dims, self.input_size, weight)

    def _states(self, hx: State | None, B: int, like: Tensor) -> list[Tensor]:
        rows = self.num_layers * self.num_directions
        if hx is None and self.learned_state:
            return [torch.stack(each).unsqueeze(1).expand(-1, B, -1) for each in self.initial_states()]
        return check_states(self.cell, hx, [(rows, B, width) for width in self.state_sizes], like)

    def initial_states(self) -> list[list[Tensor]]:
        """The learned states, of each state those of all layers and directions."""
        states, ends = self.cell.states if self.learned_state else (), ("", "_reverse")[: self.num_directions]
        places = [f"{layer}{end}" for layer in range(self.num_layers) for end in ends]
        return [[getattr(self, f"{state}0_l{place}") for place in places] for state in states]

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
            "learned_state": False,
            "save": "gates",
        }
        parts += [f"{key}={getattr(self, key)}" for key, value in defaults.items() if getattr(self, key) != value]
        parts += [f"{key}={rate}" for key, rate in self.regularisers.rates.items() if rate]
        return ", ".join(parts)
