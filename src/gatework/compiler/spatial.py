"""One layer and direction of a cell whose states are fields, so that its matrices are convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gatework.cells.cell import Cell
from gatework.cells.declarations import Extra, Matrix, Noise, Vector
from gatework.compiler.build import BuildError
from gatework.compiler.convolution import convolve
from gatework.compiler.field import FieldJob, FieldKernel, field_kernel, image_of, rows_of
from gatework.compiler.field_states import Given, Results
from gatework.compiler.field_steps import run
from gatework.compiler.graph import Unsupported
from gatework.compiler.launch import Backend
from gatework.compiler.render.reference import Noises, StepInputs, loop
from gatework.compiler.weights import Applied, gate_widths, matrix_names, matrix_parameter, state_widths
from gatework.say import once


@dataclass(frozen=True, eq=False)
class Fields:
    """Sequences of images as a call gives them.

    Attributes:
        x: packed inputs [N, I, *spatial], all images of time 0 first, by falling length; two or three sizes.
        states: initial states [B, width, *spatial] by falling length.
        batch_sizes: images that run at each time step: falling, none 0.
        reverse: run from each sequence's last step to its first.
        zero_start: the states are zeros.
        extra: further inputs of each step by "declaration.name", [N, size], the same at all positions.
        seed: for a cell with noise, int64 [2]: the seed, and the position of the first step.
        order: [B] the row of the batch, as noise counts them, behind each row of a state; None: the row itself.
    """

    x: Tensor
    states: Sequence[Tensor]
    batch_sizes: tuple[int, ...]
    reverse: bool = False
    zero_start: bool = False
    extra: Mapping[str, Tensor] | None = None
    seed: Tensor | None = None
    order: Tensor | None = None

    @property
    def spatial(self) -> tuple[int, ...]:
        """The sizes of the field."""
        return tuple(self.x.shape[2:])


def recur_field(
    cell: Cell, fields: Fields, params: Mapping[str, Tensor], channels: int, backend: Backend = "auto"
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Run a cell over sequences of images; every position has its own state, and matrices are convolutions.

    Args:
        cell: the equations.
        fields: inputs and initial states.
        params: by the names of `weights.parameter_shapes`; weights have the kernel's sizes as further axes, vectors may
            have the field's.
        channels: the cell's H.
        backend: "auto", "reference" or "cpp"; see `gatework.nn.Recurrent`.

    Returns:
        outputs [N, width, *spatial] and the final states, each [B, width, *spatial].

    Raises Unsupported or BuildError where backend="cpp" cannot run, with the reason.
    """
    dtype = next(iter(params.values())).dtype
    if fields.x.dtype != dtype or fields.states[0].dtype != dtype:  # only autocast lets them differ
        fields = replace(fields, x=fields.x.to(dtype), states=[s.to(dtype) for s in fields.states])
    kernel = None if backend == "reference" else _choose(cell, fields, params, channels, backend)
    if kernel is None or not fields.batch_sizes or not fields.x.numel():
        return _reference(cell, fields, params, channels)
    return _compiled(cell, fields, params, kernel)


def _choose(
    cell: Cell, fields: Fields, params: Mapping[str, Tensor], channels: int, backend: Backend
) -> FieldKernel | None:
    """The kernel for a cell; None for the reference, which is said once with the reason."""
    if backend != "cpp" and torch.compiler.is_compiling():  # the loop becomes part of the graph
        return None
    try:
        _check(cell, fields.x, channels)
        return field_kernel(cell, fields.x.dtype)
    except (Unsupported, BuildError) as error:
        if backend == "cpp":
            raise
        what = f"{cell.name} over fields runs on the reference backend, a Python loop: {error}"
        once(f"field {cell.name} {error}", what)
        return None


def _check(cell: Cell, x: Tensor, channels: int) -> None:
    """Raise Unsupported for what no field kernel takes."""
    if x.device.type != "cpu":
        raise Unsupported(f"the input is on {x.device}; kernels are compiled for the CPU so far.")
    if torch.compiler.is_compiling() or torch._C._functorch.peek_interpreter_stack() is not None:
        raise Unsupported("field kernels do not go through torch.compile and torch.func's transformations.")
    widths = {*gate_widths(cell, channels, x.shape[1]), *state_widths(cell, channels, x.shape[1])}
    if widths != {channels}:
        raise Unsupported(f"states and gates of widths {sorted(widths)}; field kernels take {channels} channels only.")
    if any(isinstance(cell.declared[key], Extra | Noise) for key in cell.arguments):
        raise Unsupported("inputs of each step and random numbers do not reach field kernels so far.")
    if any(cell.heads_of(key, channels, x.shape[1]) > 1 for key, _, _ in cell.entries(Matrix)):
        raise Unsupported("convolutions in heads are not compiled so far.")


def _compiled(cell: Cell, fields: Fields, params: Mapping[str, Tensor], kernel: FieldKernel) -> Results:
    facts, spatial = kernel.facts, fields.spatial
    job = FieldJob(kernel, spatial, len(fields.states[0]), fields.batch_sizes, fields.reverse, fields.zero_start)
    groups = [_grouped(cell, params, facts.products[k : k + n]) for _, k, n in facts.operands]
    C = fields.states[0].shape[1]
    vectors = [params[key][cell.entry_names(key).index(name)].reshape(C, -1).t() for key, name in facts.vectors]
    given = Given(
        fields.x,
        params["weight_ih"],
        params.get("bias_ih"),
        tuple(rows_of(s) for s in fields.states),
        tuple(weight for weight, _ in groups),
        tuple(bias for _, bias in groups),
        torch.stack(vectors) if vectors else fields.x.new_empty((0, 1, C)),
    )

    def again(given: Given) -> Results:
        states = [image_of(s, spatial) for s in given.states]
        products: dict[str, dict[str, Any]] = {key: {} for key in cell.arguments}
        for (_, k, n), weight, bias in zip(facts.operands, given.weights, given.biases, strict=True):
            parts = [None] * n if bias is None else bias.chunk(n)
            for (key, name, _), w, b in zip(facts.products[k : k + n], weight.chunk(n), parts, strict=True):
                products[key][name] = _Convolution(w, b, spatial, 1)
        step = _Step(cell, given.weight, given.bias, products, dict(zip(facts.vectors, given.vectors, strict=True)))
        y, finals = step.loop(replace(fields, x=given.x, states=states), C)
        return rows_of(y), tuple(rows_of(f) for f in finals)

    y, finals = run(job, given, again)
    return image_of(y, spatial), tuple(image_of(f, spatial) for f in finals)


def _block(cell: Cell, params: Mapping[str, Tensor], key: str, name: str) -> tuple[Tensor, Tensor | None]:
    """Weight and bias of one matrix of the step."""
    names, k = matrix_names(cell, key), matrix_names(cell, key).index(name)
    weight, bias = (params.get(parameter) for parameter in matrix_parameter(cell, key))
    assert weight is not None
    return weight.chunk(len(names))[k], None if bias is None else bias.chunk(len(names))[k]


def _grouped(
    cell: Cell, params: Mapping[str, Tensor], products: Sequence[tuple[str, str, int]]
) -> tuple[Tensor, Tensor | None]:
    """Weights and biases of several products, one below the other; the parameters themselves where they are that."""
    keys, names = {key for key, _, _ in products}, tuple(name for _, name, _ in products)
    if len(keys) == 1 and names == matrix_names(cell, key := keys.pop()):
        weight, bias = matrix_parameter(cell, key)
        return params[weight], params.get(bias)
    weights, biases = zip(*(_block(cell, params, key, name) for key, name, _ in products), strict=True)
    if all(bias is None for bias in biases):
        return torch.cat(weights), None
    zeros = weights[0].new_zeros(len(weights[0]))
    return torch.cat(weights), torch.cat([zeros if bias is None else bias for bias in biases])


@dataclass(frozen=True)
class _Convolution(Applied):
    """A matrix of `step` over a field: `U @ v` maps rows [n * P, columns] of n images to [n * P, rows]."""

    weight: Tensor
    bias: Tensor | None
    spatial: tuple[int, ...]
    groups: int

    def __matmul__(self, v: Tensor) -> Tensor:
        images = image_of(v.view(-1, torch.Size(self.spatial).numel(), v.shape[1]), self.spatial)
        return rows_of(convolve(images, self.weight, self.bias, self.groups)).flatten(0, 1)


def _reference(cell: Cell, fields: Fields, params: Mapping[str, Tensor], channels: int) -> Results:
    products: dict[str, dict[str, Any]] = {}
    for key in cell.arguments:
        if isinstance(cell.declared[key], Matrix):
            groups = cell.heads_of(key, channels, fields.x.shape[1])
            blocks = {name: _block(cell, params, key, name) for name in matrix_names(cell, key)}
            products[key] = {name: _Convolution(w, b, fields.spatial, groups) for name, (w, b) in blocks.items()}
    vectors = {}
    for key, name, declared in cell.entries(Vector):
        vector = params[key][declared.names.index(name)]
        vectors[key, name] = vector[None] if vector.dim() == 1 else vector.flatten(1).t()
    step = _Step(cell, params.get("weight_ih"), params.get("bias_ih"), products, vectors)
    return step.loop(fields, channels)


@dataclass(frozen=True, eq=False)
class _Step:
    """A cell for the reference's loop, with positions as rows of the batch: b * P + p.

    Attributes:
        weight, bias: of the input's convolution, None for a cell without gates.
        products: the matrices by declaration and name.
        vectors: by declaration and name, [1, size], or [P, size] where each position has its own.
    """

    cell: Cell
    weight: Tensor | None
    bias: Tensor | None
    products: Mapping[str, Mapping[str, _Convolution]]
    vectors: Mapping[tuple[str, str], Tensor]

    def loop(self, fields: Fields, channels: int) -> Results:
        """Outputs [N, width, *spatial] and the final states [B, width, *spatial]."""
        spatial, states = fields.spatial, [rows_of(s).flatten(0, 1) for s in fields.states]
        I, P = fields.x.shape[1], torch.Size(spatial).numel()  # noqa: E741
        order = None
        if fields.order is not None:
            order = (fields.order[:, None] * P + torch.arange(P, device=fields.order.device)).flatten()
        noises = Noises(self.cell, channels, I, fields.seed, order, states[0])
        inputs = self._inputs(fields, gate_widths(self.cell, channels, I))
        y, finals = loop(self.cell, inputs, self.products, noises, states, fields.reverse)

        def image(rows: Tensor) -> Tensor:
            return image_of(rows.view(-1, P, rows.shape[1]), spatial)

        return image(y), tuple(image(f) for f in finals)

    def _inputs(self, fields: Fields, widths: list[int]) -> Iterator[StepInputs]:
        """Each step's position, input products, and what else it takes."""
        x, P, first = rows_of(fields.x), torch.Size(fields.spatial).numel(), 0
        products = x if self.weight is None else rows_of(convolve(fields.x, self.weight, self.bias))
        for t, n in enumerate(fields.batch_sizes):
            images = slice(first, first + n)
            gates = torch.split(products[images].flatten(0, 1), widths, 1) if widths else ()
            given: dict[str, dict[str, Tensor]] = {}
            for (key, name), vector in self.vectors.items():
                given.setdefault(key, {})[name] = vector.repeat(n, 1) if len(vector) > 1 else vector[0]
            for key, name, _ in self.cell.entries(Extra):
                assert fields.extra is not None
                given.setdefault(key, {})[name] = fields.extra[f"{key}.{name}"][images].repeat_interleave(P, 0)
            yield t, dict(zip(self.cell.gate_names, gates, strict=True)) | {"raw": x[images].flatten(0, 1)}, given
            first += n
