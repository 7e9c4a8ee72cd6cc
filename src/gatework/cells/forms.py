"""Structured matrices: the shape of a parameter, and the dense matrix that it stands for.

The dense matrix is made once for each call of a layer, before the loop over time, so every kernel takes every form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gatework.errors import InputError


@dataclass(frozen=True)
class Form:
    """One structure.

    Attributes:
        shape: (rows, columns) of the dense matrix -> shape of its parameter, one after the other along the rows.
        dense: (parameter, blocks) -> the dense matrix [rows, columns]; differentiable.
    """

    shape: Callable[[int, int], tuple[int, int]]
    dense: Callable[[Tensor, int], Tensor]


def _square(name: str, rows: int, columns: int) -> tuple[int, int]:
    if rows != columns:
        raise InputError(f"form {name!r} needs a square matrix, not [{rows}, {columns}].")
    return rows, columns


def _quarters(rows: int, columns: int) -> tuple[int, int]:
    if rows % 4 or columns % 4:
        raise InputError(f"form 'quaternion' needs sizes that divide by 4, not [{rows}, {columns}].")
    return rows, columns // 4


def hamilton(parameter: Tensor, _blocks: int) -> Tensor:
    """The Hamilton product as a matrix [4n, 4m], from its quaternion's four parts stacked [4n, m].

    A vector holds the real parts of its quaternions, then the i, the j and the k parts.
    Source: Parcollet et al., arXiv:1806.04418, section 3.
    """
    r, i, j, k = parameter.chunk(4)
    rows = [(r, -i, -j, -k), (i, r, -k, j), (j, k, r, -i), (k, -j, i, r)]
    return torch.cat([torch.cat(row, 1) for row in rows])


def antisymmetric(parameter: Tensor, _blocks: int) -> Tensor:
    """W - W^T, whose eigenvalues are imaginary.  Source: Chang et al., arXiv:1902.09689, section 3."""
    return parameter - parameter.t()


def upper(parameter: Tensor, blocks: int) -> Tensor:
    """Block upper triangular in `blocks` blocks of equal width: block g reads only blocks g, g + 1, ...

    Source: Koutnik et al., arXiv:1402.3511, section 3.
    """
    n, m = parameter.shape
    row = torch.arange(n, device=parameter.device) * blocks // n
    column = torch.arange(m, device=parameter.device) * blocks // m
    return parameter * (column >= row[:, None]).to(parameter.dtype)


def stochastic(parameter: Tensor, _blocks: int) -> Tensor:
    """Softmax over each column: what comes in is shared out without loss.  Hoedt et al., arXiv:2101.05186, eq. 5."""
    return parameter.softmax(0)


FORMS = {
    "dense": Form(lambda rows, columns: (rows, columns), lambda parameter, _blocks: parameter),
    "quaternion": Form(_quarters, hamilton),
    "antisymmetric": Form(lambda rows, columns: _square("antisymmetric", rows, columns), antisymmetric),
    "stochastic": Form(lambda rows, columns: (rows, columns), stochastic),
    "upper": Form(lambda rows, columns: (rows, columns), upper),
}
