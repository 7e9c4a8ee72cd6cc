"""What the papers' formulas in `papers_*.py` are written with: NumPy, one row of a batch, one step at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def sig(a: Vector) -> Vector:
    return 1 / (1 + np.exp(-a))


def norm(v: Vector, gain: Vector, shift: Vector | float = 0.0) -> Vector:
    """Layer norm as Ba et al. write it."""
    return gain * (v - v.mean()) / np.sqrt(v.var() + 1e-5) + shift


@dataclass
class Given:
    """What one step of a formula may read.

    Attributes:
        w: parameters by name: "x.i" and "bias.i" of gates, "U.i" and "bias.U.i" of matrices, "p.i" of vectors.
        x: the input [I].
        s: the old states by name.
        e: the further inputs of this step by name.
        o: the cell, for its options.
    """

    w: dict[str, Vector]
    x: Vector
    s: dict[str, Vector]
    e: dict[str, Vector]
    o: Any

    def at(self, matrix: str, v: Vector) -> Vector:
        """A matrix applied to v, with its bias where it has one."""
        return self.w[matrix] @ v + self.w.get(f"bias.{matrix}", 0.0)

    def wx(self, gate: str) -> Vector:
        """W x + b of one gate."""
        return self.w[f"x.{gate}"] @ self.x + self.w[f"bias.{gate}"]

    def pre(self, gate: str, h: Vector) -> Vector:
        """W x + U h + b of one gate."""
        return self.wx(gate) + self.at(f"U.{gate}", h)


Formula = Callable[[Given], tuple[Vector, ...]]
FORMULAS: dict[str, Formula] = {}


def paper(formula: Formula) -> Formula:
    """Note a formula under the catalogue's name of its cell."""
    FORMULAS[formula.__name__.strip("_").replace("_", "-")] = formula
    return formula


# name -> (weights, x [T, I], cell) -> y [T, H], from zero states
SEQUENCES: dict[str, Callable[[dict[str, Vector], Vector, Any], Vector]] = {}
