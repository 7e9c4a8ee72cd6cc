"""What a cell declares beside states and gates: learned matrices and vectors, inputs of each step, random numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gatework.cells.sizes import Size
from gatework.errors import CellError


class Named:
    """Values under the names that a cell declared: `x.i`, `s.h`, `U.f`, `p.o`; also `U["q1"]`."""

    def __init__(self, kind: str, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)
        self.__dict__["_kind"] = kind

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        kind, have = self._kind, ", ".join(n for n in self.__dict__ if n != "_kind")
        raise CellError(f"`{kind}.{name}` is used in `step`, but {kind} has only: {have}. Declare {name} in the cell.")

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __iter__(self) -> Iterator[Any]:
        raise CellError(f"`{self._kind}` in `step` holds named values; take one: {self._kind}.<name>.")


@dataclass(frozen=True)
class Declaration:
    """Something that `step` receives under a name of its own, with an entry for each of `names`."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Matrix(Declaration):
    """Matrices [rows, columns], one for each name, with their biases [rows]; see `matrix`."""

    rows: Size = "H"
    columns: Size = "H"
    heads: Size = 1
    bias: bool = True
    form: str = "dense"
    parameter: str | None = None
    learned: bool = True


@dataclass(frozen=True)
class Vector(Declaration):
    """Vectors [size], one for each name; see `vector`."""

    size: Size = "H"
    start: float | None = None
    learned: bool = True


@dataclass(frozen=True)
class Extra(Declaration):
    """Inputs of each step [B, size] beside x; see `per_step`."""

    size: Size = 1
    default: float | Literal["position"] | None = None


@dataclass(frozen=True)
class Noise(Declaration):
    """Uniform random numbers [B, size]; see `noise`."""

    size: Size = "H"
    per: Literal["step", "sequence"] = "step"


def matrix(
    *names: str,
    rows: Size = "H",
    columns: Size = "H",
    heads: Size = 1,
    bias: bool = True,
    form: str = "dense",
    parameter: str | None = None,
    learned: bool = True,
) -> Any:
    """Declare one matrix [rows, columns] (with a bias [rows] where the layer has biases) for each name.

    In `step`, `U.i @ v` maps v [B, columns] to [B, rows]. Every cell has `U = matrix(*gates)` unless it says so.

    Args:
        names: as used in `step`; none means one for each gate.
        rows: a size: "H", "I", a number, an option's name, or `+ - * //` of them, such as "H // chunk".
        columns: a size.
        heads: a block-diagonal matrix of that many blocks: units of one head see only their own head.
        bias: False leaves the bias out in every layer.
        form: "dense", or a structure of `gatework.cells.forms`: "quaternion", "antisymmetric", "stochastic",
            "upper:<blocks>" where the number of blocks is a size.
        parameter: the parameter is weight_<parameter>_l0; "hh" for U, else the declaration's own name.
        learned: False makes it a buffer, which `Cell.initialise` fills.
    """
    return Matrix(names, rows, columns, heads, bias, form, parameter, learned)


def vector(*names: str, size: Size = "H", start: float | None = None, learned: bool = True) -> Any:
    """Declare one vector [size] for each name; `p.i` in `step`.

    `start` is the value at initialisation; None draws from the layer's usual uniform distribution. `learned=False`
    makes it a buffer.
    """
    return Vector(names, size, start, learned)


def per_step(*names: str, size: Size = 1, default: float | Literal["position"] | None = None) -> Any:
    """Declare further inputs of each step: a time gap, a mask, a boundary flag; `e.dt` is [B, size] in `step`.

    A layer takes them as `layer(x, extra={"dt": ...})`. `default` stands in for one that is not given: a number, or
    "position" for the step's place in its sequence (0, 1, 2, ...); None makes it an error to leave it out.
    """
    return Extra(names, size, default)


def noise(*names: str, size: Size = "H", per: Literal["step", "sequence"] = "step") -> Any:
    """Declare uniform random numbers in (0, 1) for each name; `n.h` is [B, size] in `step`.

    They come from a counter-based generator (`gatework.cells.generator`), so that every backend draws the same.
    `per="sequence"` gives a row the same numbers at every step.
    """
    return Noise(names, size, per)
