"""Names and shapes of a layer's parameters, in torch.nn's order, for any cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from gatework.cells.cell import Cell, Matrix, Vector
from gatework.errors import CellError


def matrix_names(cell: Cell, key: str) -> tuple[str, ...]:
    """The names of the matrices that a cell declares under `key`; all gates when it names none."""
    return cell.declared[key].names or cell.gate_names


def _suffix(key: str) -> str:
    return "hh" if key == "U" else key


def matrix_parameter(key: str) -> tuple[str, str]:
    """The names of a declared matrix's weight and bias parameters."""
    return f"weight_{_suffix(key)}", f"bias_{_suffix(key)}"


def parameter_shapes(cell: Cell, input_size: int, hidden_size: int, bias: bool) -> dict[str, tuple[int, ...]]:
    """Shapes by name: weight_ih [G*H, I], weight_hh [G*H, H], bias_ih, bias_hh [G*H], then vectors [n, H]."""
    H, gates = hidden_size, len(cell.gate_names)
    matrices = {key: len(matrix_names(cell, key)) for key, d in cell.declared.items() if isinstance(d, Matrix)}
    matrices = {key: n for key, n in sorted(matrices.items(), key=lambda item: item[0] != "U") if key in cell.arguments}
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates * H, input_size)}
    shapes |= {f"weight_{_suffix(key)}": (n * H, H) for key, n in matrices.items()}
    if bias:
        shapes["bias_ih"] = (gates * H,)
        shapes |= {f"bias_{_suffix(key)}": (n * H,) for key, n in matrices.items()}
    for key, declared in cell.declared.items():
        if isinstance(declared, Vector) and key in cell.arguments:
            shapes[key] = (len(declared.names), H)
    return shapes


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
    """One recurrent matrix [H, H] with its bias [H] or None; `U @ v` maps v [B, H]."""

    weight: Tensor
    bias: Tensor | None

    def __matmul__(self, v: Tensor) -> Tensor:
        return F.linear(v, self.weight, self.bias)


def declared_values(cell: Cell, params: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """What `step` receives after x and s: matrices as `Affine`, vectors as [H], by declaration and name."""
    values: dict[str, dict[str, Any]] = {}
    for key in cell.arguments:
        if isinstance(cell.declared[key], Vector):
            values[key] = dict(zip(cell.declared[key].names, params[key].unbind(0), strict=True))
            continue
        names = matrix_names(cell, key)
        weights = params[f"weight_{_suffix(key)}"].chunk(len(names))
        bias = params.get(f"bias_{_suffix(key)}")
        biases = bias.chunk(len(names)) if bias is not None else [None] * len(names)
        values[key] = {n: Affine(w, b) for n, w, b in zip(names, weights, biases, strict=True)}
    return values
