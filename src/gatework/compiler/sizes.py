"""Sizes to trace a cell with, and the way back from a number in the trace to the formula that it stands for."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from gatework.cells.cell import Cell
from gatework.cells.declarations import Extra, Matrix, Noise, Vector
from gatework.errors import GateworkError

BATCH = 3
# Larger than the plain numbers of a step (a head's width, a window), so that a multiple of one can only come from it.
_H_PRIMES, _I_PRIMES = (11, 17, 23, 29), (13, 19, 31, 37)


@dataclass(frozen=True)
class Sizes:
    """Sizes H and I of a trace.

    Attributes:
        hidden, input: the numbers that stand for H and I; I is prime.
        prime: a factor of `hidden` that no other number of the cell has.
        declared: C++ formula of each number that the cell's declarations give.
    """

    hidden: int
    prime: int
    input: int
    declared: dict[int, str]

    @property
    def same(self) -> bool:
        """Whether the step was traced with I = H and works with nothing else."""
        return self.hidden == self.input

    def formula(self, size: int) -> str:
        """The C++ expression of H and I for a size seen in the trace."""
        if size == 1:
            return "1"
        if size in self.declared:
            return self.declared[size]
        for letter, whole, prime in (("H", self.hidden, self.prime), ("I", self.input, self.input)):
            if size % prime == 0:
                share = Fraction(size, whole)
                top, bottom = share.numerator, share.denominator
                return letter + (f" * {top}" if top > 1 else "") + (f" / {bottom}" if bottom > 1 else "")
        return str(size)


def _expressions(cell: Cell) -> set[str]:
    """Every size that the cell declares."""
    widths = [*(("s", s) for s in cell.states), *(("x", g) for g in cell.gate_names)]
    found = {"H", "I"} | {str(cell.expression(kind, name)) for kind, name in widths}
    for declared in cell.declared.values():
        if isinstance(declared, Matrix):
            found |= {str(declared.rows), str(declared.columns)}
        elif isinstance(declared, Vector | Extra | Noise):
            found.add(str(declared.size))
    return found


def _numbers(cell: Cell) -> list[int]:
    """Whole-number options and plain numbers that sizes are made of."""
    options = [getattr(cell, name) for name in cell.options]
    found = {v for v in options if isinstance(v, int) and not isinstance(v, bool) and v > 1}
    heads = [str(d.heads) for d in cell.declared.values() if isinstance(d, Matrix)]
    for text in (*_expressions(cell), *heads):
        found |= {n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)}  # type: ignore[misc]
    return sorted(n for n in found if n > 1)


def _in_c(cell: Cell, text: str) -> str:
    """A declared size in C++: options replaced by their values."""
    tree = ast.parse(text, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in ("H", "I"):
            node.id = str(cell.measure(node.id, 1, 1))
    return ast.unparse(tree).replace("//", "/")


def candidates(cell: Cell, unlike: Sizes | None = None) -> Iterator[Sizes]:
    """Sizes to try, the smallest first; a step with groups of units works only with some multiples.

    With `unlike`, only sizes of the same multiple that differ from these.  A step that mixes inputs and states unit by
    unit works only when I = H: such sizes come last.
    Raises InputError when a declared size cannot be measured.
    """
    numbers, expressions = _numbers(cell), sorted(_expressions(cell))
    multiples = sorted({math.lcm(*(n for n in numbers if n <= bound)) for bound in (1, 64, 4096)})
    multiples += [math.lcm(multiples[-1], 12)]  # heads and chunks may stand in a step as plain numbers
    error: GateworkError | None = None
    for same in (False, True) if unlike is None else (unlike.same,):
        for multiple in (
            dict.fromkeys(m for m in multiples if m <= 4096) if unlike is None else [unlike.hidden // unlike.prime]
        ):
            for h, i in zip(_H_PRIMES, _I_PRIMES, strict=True):
                if any(n % p == 0 for n in numbers for p in (h, i)) or (unlike is not None and unlike.prime == h):
                    continue
                try:
                    found = _measured(cell, expressions, h * multiple, h, h * multiple if same else i)
                except GateworkError as e:
                    error = e
                    continue
                if found is not None:
                    yield found
                    break
    if error is not None:
        raise error


def _measured(cell: Cell, expressions: list[str], hidden: int, prime: int, input_size: int) -> Sizes | None:
    """Sizes with what the cell declares; None when two unequal declarations come out as the same number."""
    declared: dict[int, str] = {}
    elsewhere: dict[int, int] = {}  # what a size is when H and I are others: two declarations of one size must agree
    for text in sorted(expressions, key=len):
        size, other = (
            cell.measure(text, hidden, input_size),
            cell.measure(text, 3 * hidden, 3 * input_size + 2 * hidden),
        )
        if hidden == input_size:
            other = cell.measure(text, 3 * hidden, 3 * hidden)
        if elsewhere.setdefault(size, other) != other:
            return None
        formula = _in_c(cell, text)
        declared.setdefault(size, re.sub(r"\bI\b", "H", formula) if hidden == input_size else formula)
    declared.pop(1, None)
    return Sizes(hidden, prime, input_size, declared)
