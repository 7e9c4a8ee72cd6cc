"""Names and shapes of a layer's parameters, in torch.nn's order, for any cell; and what `step` receives of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gatework.cells.cell import Cell
from gatework.cells.declarations import Matrix, Vector
from gatework.cells.forms import FORMS
from gatework.errors import CellError, InputError


def matrix_names(cell: Cell, key: str) -> tuple[str, ...]:
    """The names of the matrices that a cell declares under `key`; all gates when it names none."""
    return cell.entry_names(key)


def matrix_parameter(cell: Cell, key: str) -> tuple[str, str]:
    """The names of a declared matrix's weight and bias parameters."""
    declared = cell.declared[key]
    suffix = getattr(declared, "parameter", None) or ("hh" if key == "U" else key)
    return f"weight_{suffix}", f"bias_{suffix}"


def matrix_keys(cell: Cell) -> list[str]:
    """The declarations of matrices that `step` takes: U first, the others in its order."""
    keys = [key for key in cell.arguments if isinstance(cell.declared[key], Matrix)]
    return sorted(keys, key=lambda key: key != "U")


def gate_widths(cell: Cell, hidden_size: int, input_size: int) -> list[int]:
    """Widths of the input products."""
    return [cell.measure(cell.expression("x", gate), hidden_size, input_size) for gate in cell.gate_names]


def state_widths(cell: Cell, hidden_size: int, input_size: int) -> list[int]:
    """Widths of the states; the first is that of the outputs."""
    return [cell.measure(cell.expression("s", state), hidden_size, input_size) for state in cell.states]


def hidden_size_of(cell: Cell, states: Sequence[Tensor]) -> int:
    """H, from states of which at least one is H wide."""
    wide = next(k for k, state in enumerate(cell.states) if cell.expression("s", state) == "H")
    return states[wide].shape[-1]


def parameter_shapes(
    cell: Cell, input_size: int, hidden_size: int, bias: bool, dense: bool = False
) -> dict[str, tuple[int, ...]]:
    """Shapes by name.

    Args:
        cell: the equations.
        input_size: features I.
        hidden_size: units H.
        bias: whether the layer has biases.
        dense: of the parameters as kernels take them, structured matrices made dense.

    Returns:
        weight_ih [sum of the gates' widths, I], weight_hh [n * rows, columns / heads], bias_ih, bias_hh, then other
        matrices with their biases, then vectors [n, size].

    Raises InputError where a size does not come out, CellError for two parameters of one name.
    """
    H, I = hidden_size, input_size  # noqa: E741
    gates = sum(gate_widths(cell, H, I))
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, I)} if gates else {}
    biases: dict[str, tuple[int, ...]] = {"bias_ih": (gates,)} if gates and bias else {}
    for key in matrix_keys(cell):
        if key != "U":
            shapes, biases = shapes | biases, {}
        n, rows, columns = len(matrix_names(cell, key)), *_matrix_shape(cell, key, H, I, dense)
        names = matrix_parameter(cell, key)
        if names[0] in shapes:
            raise CellError(f"cell {cell.name}: two declarations would be called {names[0]}; name one's parameter.")
        shapes[names[0]] = (n * rows, columns)
        if bias and cell.declared[key].bias:  # type: ignore[attr-defined]
            biases[names[1]] = (n * cell.measure(cell.declared[key].rows, H, I),)  # type: ignore[attr-defined]
    shapes |= biases
    for key, _, declared in cell.entries(Vector):
        shapes[key] = (len(declared.names), cell.measure(declared.size, H, I))
    return shapes


def _matrix_shape(cell: Cell, key: str, H: int, I: int, dense: bool) -> tuple[int, int]:  # noqa: E741
    """Shape of one matrix's parameter: that of one block below the other."""
    declared, heads = cell.declared[key], cell.heads_of(key, H, I)
    assert isinstance(declared, Matrix)
    rows, columns = cell.measure(declared.rows, H, I), cell.measure(declared.columns, H, I)
    if rows % heads or columns % heads:
        raise InputError(f"cell {cell.name}: {key} [{rows}, {columns}] does not divide into {heads} heads.")
    if dense or declared.form == "dense":
        return rows, columns // heads
    if heads > 1:
        raise InputError(f"cell {cell.name}: {key} has form {declared.form!r} and {heads} heads; choose one of them.")
    return FORMS[declared.form.partition(":")[0]].shape(rows, columns)


def buffer_names(cell: Cell) -> set[str]:
    """Names among `parameter_shapes` that are not learned."""
    names = {matrix_parameter(cell, key)[i] for key in matrix_keys(cell) for i in (0, 1) if not _learned(cell, key)}
    return names | {key for key, _, declared in cell.entries(Vector) if not declared.learned}


def _learned(cell: Cell, key: str) -> bool:
    return bool(cell.declared[key].learned)  # type: ignore[attr-defined]


def dense_parameters(cell: Cell, params: Mapping[str, Tensor], hidden_size: int, input_size: int) -> dict[str, Tensor]:
    """The parameters with every structured matrix made dense, as kernels and the reference take them."""
    found = dict(params)
    for key in matrix_keys(cell):
        declared = cell.declared[key]
        assert isinstance(declared, Matrix)
        form, _, blocks = declared.form.partition(":")
        if form != "dense":
            name, n = matrix_parameter(cell, key)[0], len(matrix_names(cell, key))
            count = (
                cell.measure(blocks, hidden_size, input_size)
                if blocks
                else cell.measure(declared.rows, hidden_size, input_size)
            )
            found[name] = torch.cat([FORMS[form].dense(part, count) for part in params[name].chunk(n)])
    return found


def views(cell: Cell, params: Mapping[str, Tensor], hidden_size: int, input_size: int) -> dict[str, Tensor]:
    """Each entry of the parameters by the names of `Cell.initialise`: "x.i", "bias.i", "U.i", "bias.U.i", "p.i"."""
    widths = gate_widths(cell, hidden_size, input_size)
    found: dict[str, Tensor] = {}
    for name, label in (("weight_ih", "x"), ("bias_ih", "bias")):
        if cell.gate_names and name in params:
            parts = zip(cell.gate_names, torch.split(params[name], widths), strict=True)
            found |= {f"{label}.{gate}": part for gate, part in parts}
    for key in matrix_keys(cell):
        names = matrix_names(cell, key)
        for name, label in zip(matrix_parameter(cell, key), (key, f"bias.{key}"), strict=True):
            if name in params:
                found |= {f"{label}.{n}": part for n, part in zip(names, params[name].chunk(len(names)), strict=True)}
    for key, name, declared in cell.entries(Vector):
        found[f"{key}.{name}"] = params[key][declared.names.index(name)]
    return found


class Applied:
    """What stands for a recurrent matrix in `step`: it can be applied with @, and nothing else."""

    def __rmatmul__(self, v: Tensor) -> Tensor:
        raise CellError("a matrix stands on the right of @ in `step`; write U.i @ s.h for each row's U h + b.")

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise CellError(f"`.{attribute}` of a matrix is used in `step`; it can only be applied to a state: U.i @ s.h.")


@dataclass(frozen=True)
class Affine(Applied):
    """One matrix [rows, columns / heads] with its bias [rows] or None; `U @ v` maps v [B, columns] to [B, rows]."""

    weight: Tensor
    bias: Tensor | None
    heads: int = 1

    def __matmul__(self, v: Tensor) -> Tensor:
        if self.heads == 1:
            return F.linear(v, self.weight, self.bias)
        blocks = self.weight.reshape(self.heads, -1, self.weight.shape[1])  # [heads, rows / heads, columns / heads]
        product = torch.einsum("bnc,nrc->bnr", v.reshape(v.shape[0], self.heads, -1), blocks).flatten(1)
        return product if self.bias is None else product + self.bias


def declared_values(
    cell: Cell, params: Mapping[str, Tensor], hidden_size: int, input_size: int
) -> dict[str, dict[str, Any]]:
    """What `step` receives of the parameters after x and s, by declaration and name.

    Matrices come as `Affine`, vectors as [size]; what changes with the step (`per_step`, `noise`) is left out.
    """
    values: dict[str, dict[str, Any]] = {}
    for key in cell.arguments:
        declared = cell.declared[key]
        if isinstance(declared, Vector):
            values[key] = dict(zip(declared.names, params[key].unbind(0), strict=True))
        elif isinstance(declared, Matrix):
            names, (weight, bias) = matrix_names(cell, key), matrix_parameter(cell, key)
            heads = cell.heads_of(key, hidden_size, input_size)
            weights = params[weight].chunk(len(names))
            biases = params[bias].chunk(len(names)) if bias in params else [None] * len(names)
            values[key] = {n: Affine(w, b, heads) for n, w, b in zip(names, weights, biases, strict=True)}
    return values
