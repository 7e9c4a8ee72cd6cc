"""Random regularisers of a recurrence, as a cell around any cell: one more step function for every backend."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gatework.cells.cell import Cell
from gatework.cells.declarations import Extra, Matrix, Noise, Vector
from gatework.cells.sizes import Size
from gatework.errors import InputError


class Regularised(Cell):
    """A cell with zoneout, recurrent dropout or variational dropout, in training or as its expectation.

    Zoneout keeps a unit's old state instead of the new one with a state's probability; in evaluation the new state is
    their expectation. Recurrent dropout drops what the cell marks with `self.drop`, so that the memory itself is never
    lost; variational dropout drops the same units of what the recurrent matrices are applied to at every step of a
    sequence. Both scale what is left by 1 / (1 - rate) and do nothing in evaluation.

    Args:
        cell: the equations; any cell.
        hidden_size: H, to try the step out with.
        input_size: I.
        training: False gives the cell of evaluation.
        zoneout: probability in [0, 1) by state.
        recurrent_dropout: probability in [0, 1).
        variational_dropout: probability in [0, 1).

    Raises InputError where the cell has nothing that could be dropped.

    Source: Krueger et al., arXiv:1606.01305, eq. 6 (zoneout); Semeniuta et al., arXiv:1603.05118, eq. 12 (recurrent
    dropout); Gal & Ghahramani, arXiv:1512.05287, eq. 7 (variational dropout, tied over the gates).
    """

    listed = False

    def __init__(
        self,
        cell: Cell,
        hidden_size: int,
        input_size: int,
        training: bool,
        zoneout: Mapping[str, float] | None = None,
        recurrent_dropout: float = 0.0,
        variational_dropout: float = 0.0,
    ) -> None:
        self.cell, self.training = cell, training
        self.zoneout = {state: rate for state, rate in (zoneout or {}).items() if rate}
        self.recurrent_dropout = recurrent_dropout if training else 0.0
        self.variational_dropout = variational_dropout if training else 0.0
        noises: dict[str, Noise] = {}
        if training:
            noises = {f"zoneout_{state}": Noise(("u",), cell.expression("s", state)) for state in self.zoneout}
        if self.recurrent_dropout:
            widths = Trial(cell, hidden_size, input_size).candidates
            if not widths:
                raise InputError(
                    f"recurrent_dropout does not know what to drop: cell {cell.name} marks no candidate. Write "
                    "self.drop(...) around what its step adds to the memory: c = f * s.c + i * self.drop(tanh(...))."
                )
            noises |= {f"drop_{k}": Noise(("u",), size) for k, size in enumerate(widths)}
        if self.variational_dropout:
            noises |= {
                f"variational_{key}": Noise(("u",), cell.declared[key].columns, "sequence")  # type: ignore[attr-defined]
                for key in recurrent_keys(cell, hidden_size, input_size)
            }
        self.name, self.options = cell.name, cell.options  # type: ignore[misc]
        self.forget_gate, self.input_gate = cell.forget_gate, cell.input_gate  # type: ignore[misc]
        self.states, self.gate_names, self.sizes = cell.states, cell.gate_names, cell.sizes
        self.declared = {**cell.declared, **noises}
        self.arguments = (*cell.arguments, *noises)

    def declare(self) -> Mapping[str, Any]:
        """Nothing: what this cell declares follows from the cell within."""
        return {}

    def __getattr__(self, name: str) -> Any:
        if name != "cell" and name in self.__dict__.get("options", ()):
            return getattr(self.cell, name)
        raise AttributeError(name)

    def step(self, x: Any, s: Any, /, *declared: Any) -> Any:
        """The step of the cell within, without regularisers."""
        return self.cell.step(x, s, *declared)

    def apply(
        self,
        x: Mapping[str, Tensor],
        s: Mapping[str, Tensor],
        declared: Mapping[str, Mapping[str, Any]],
    ) -> tuple[Tensor, ...]:
        """The new states, regularised; arguments as for `Cell.apply`."""
        cell, given = self.cell, {key: declared[key] for key in self.cell.arguments}
        if self.recurrent_dropout:
            numbers = iter([declared[key]["u"] for key in self.arguments if key.startswith("drop_")])
            cell = copy.copy(cell)  # this call's own, so that threads may share the cell
            cell.drop = lambda candidate: _dropped(candidate, next(numbers), self.recurrent_dropout)  # type: ignore[method-assign]
        if self.variational_dropout:
            for key in self.cell.arguments:
                if f"variational_{key}" in self.declared:
                    operands = _Operands(declared[f"variational_{key}"]["u"], self.variational_dropout)
                    given[key] = {name: _Masked(matrix, operands) for name, matrix in declared[key].items()}
        new = cell.apply(x, s, given)
        return tuple(self._zoned(name, s[name], n, declared) for name, n in zip(self.states, new, strict=True))

    def _zoned(self, name: str, old: Tensor, new: Tensor, declared: Mapping[str, Mapping[str, Any]]) -> Tensor:
        rate = self.zoneout.get(name, 0.0)
        if not rate:
            return new
        if self.training:
            return torch.where(declared[f"zoneout_{name}"]["u"] < rate, old, new)
        return rate * old + (1 - rate) * new

    def __repr__(self) -> str:
        rates = {
            "zoneout": self.zoneout,
            "recurrent_dropout": self.recurrent_dropout,
            "variational_dropout": self.variational_dropout,
        }
        given = "".join(f", {key}={rate}" for key, rate in rates.items() if rate)
        return f"Regularised({self.cell!r}, training={self.training}{given})"


def _dropped(values: Tensor, numbers: Tensor, rate: float) -> Tensor:
    return torch.where(numbers < rate, torch.zeros_like(values), values * (1 / (1 - rate)))


class _Operands:
    """What matrices are applied to, each dropped once however many matrices take it."""

    def __init__(self, numbers: Tensor, rate: float) -> None:
        self.numbers, self.rate = numbers, rate
        self.known: list[tuple[Tensor, Tensor]] = []

    def __call__(self, operand: Tensor) -> Tensor:
        for known, result in self.known:
            if known is operand:
                return result
        self.known.append((operand, _dropped(operand, self.numbers, self.rate)))
        return self.known[-1][1]


class _Masked:
    """A matrix that is applied to what is left of its operand."""

    def __init__(self, matrix: Any, operands: _Operands) -> None:
        self.matrix, self.operands = matrix, operands

    def __matmul__(self, operand: Tensor) -> Tensor:
        return self.matrix @ self.operands(operand)  # type: ignore[no-any-return]

    def __rmatmul__(self, operand: Tensor) -> Tensor:
        return operand @ self.matrix  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["matrix"], name)


class Trial:
    """One step on zeros, to see what a cell marks and multiplies.

    Attributes:
        candidates: sizes of what the step passes to `self.drop`, in order.
        recurrent: declarations of matrices that are applied to something that depends on a state.
    """

    def __init__(self, cell: Cell, hidden_size: int, input_size: int) -> None:
        def zeros(size: Any, *rows: int) -> Tensor:
            return torch.zeros(*rows, cell.measure(size, hidden_size, input_size))

        self.candidates: list[Size] = []
        self.recurrent: set[str] = set()
        known = ("H", *cell.sizes.values(), *(["I"] if input_size else []))
        self._sizes: dict[int, Size] = {cell.measure(size, hidden_size, input_size): size for size in reversed(known)}
        tried = copy.copy(cell)
        tried.drop = self._mark  # type: ignore[method-assign]
        x = {gate: zeros(cell.expression("x", gate), 1) for gate in cell.gate_names}
        s = {state: zeros(cell.expression("s", state), 1).requires_grad_() for state in cell.states}
        declared: dict[str, dict[str, Any]] = {key: {} for key in cell.arguments}
        for key, name, matrix in cell.entries(Matrix):
            declared[key][name] = _Tried(key, cell.measure(matrix.rows, hidden_size, input_size), self.recurrent)
        for key, name, vector in cell.entries(Vector):
            declared[key][name] = zeros(vector.size)
        extras, noises = cell.entries(Extra), cell.entries(Noise)
        for key, name, size in [(k, n, e.size) for k, n, e in extras] + [(k, n, u.size) for k, n, u in noises]:
            declared[key][name] = zeros(size, 1) + 0.5
        with torch.enable_grad():
            tried.apply(x | {"raw": torch.zeros(1, input_size)}, s, declared)

    def _mark(self, candidate: Tensor) -> Tensor:
        width = candidate.shape[-1]
        self.candidates.append(self._sizes.get(width, width))
        return candidate


class _Tried:
    """Stands for a matrix in a trial."""

    def __init__(self, key: str, rows: int, recurrent: set[str]) -> None:
        self.key, self.rows, self.recurrent = key, rows, recurrent

    def __matmul__(self, operand: Tensor) -> Tensor:
        if operand.requires_grad:
            self.recurrent.add(self.key)
        return operand.sum(-1, keepdim=True).expand(operand.shape[0], self.rows)


def recurrent_keys(cell: Cell, hidden_size: int, input_size: int) -> tuple[str, ...]:
    """Declarations of the recurrent matrices: U, or for a cell without, all that see something made from a state.

    Raises InputError for a cell without any.
    """
    if "U" in cell.arguments and cell.entry_names("U"):
        return ("U",)
    found = Trial(cell, hidden_size, input_size).recurrent
    if not found:
        raise InputError(f"cell {cell.name} applies no matrix to its states, so there is nothing to drop there.")
    return tuple(key for key in cell.arguments if key in found)
