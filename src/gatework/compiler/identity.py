"""Cells by name, for operators: a traced or exported graph holds text, and finds its cell again in another process."""

from __future__ import annotations

import ast
from functools import reduce
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import torch

from gatework.cells.cell import Cell
from gatework.compiler.build import Kernel, kernel
from gatework.compiler.trace import fingerprint
from gatework.compiler.unwatched import unwatched
from gatework.errors import CellError, InputError
from gatework.say import once

_cells: dict[str, Cell] = {}
_names: WeakKeyDictionary[Cell, dict[str, str]] = WeakKeyDictionary()
_kernels: dict[tuple[str, torch.dtype], Kernel] = {}


def identify(cell: Cell) -> str:
    """A cell as text: where its class is, its options, and a hash of what its step computes."""
    options = {name: getattr(cell, name) for name in cell.options}
    known = _names.setdefault(cell, {})
    if repr(options) not in known:
        steps = unwatched(fingerprint, cell)[:16]
        name = f"{type(cell).__module__}:{type(cell).__qualname__} {options!r} {steps}"
        known[repr(options)] = name
        _cells.setdefault(name, cell)
    return known[repr(options)]


# As torch.compiler.assume_constant_result does, which would import all of dynamo.
identify._dynamo_marked_constant = True  # type: ignore[attr-defined]


def identified(name: str) -> Cell:
    """The cell of a text that `identify` made, here or in another process.

    Raises InputError where its class cannot be imported, as it is for one that was defined inside a function.
    """
    if name not in _cells:
        _cells[name] = _import(name)
    return _cells[name]


def identified_kernel(name: str, dtype: torch.dtype) -> Kernel:
    """The kernel of such a cell, built where there is none yet."""
    if (name, dtype) not in _kernels:
        _kernels[name, dtype] = unwatched(kernel, identified(name), dtype)
    return _kernels[name, dtype]


def _import(name: str) -> Cell:
    path, _, rest = name.partition(" ")
    options, _, steps = rest.rpartition(" ")
    module, _, qualname = path.partition(":")
    try:
        made: Any = reduce(getattr, qualname.split("."), import_module(module))
        cell = made(**ast.literal_eval(options))
    except (ImportError, AttributeError, ValueError, SyntaxError, CellError) as error:
        raise InputError(
            f"this program runs cell {qualname} with {options} of module {module}, which cannot be made here: {error}. "
            "Put the class where it can be imported, or define it again before the program is loaded."
        ) from error
    if not isinstance(cell, Cell):
        raise InputError(f"this program runs {path} as a cell, which is none but {type(cell).__name__}.")
    if unwatched(fingerprint, cell)[:16] != steps:
        once(
            f"changed {name}",
            f"cell {path}: its step does not compute exactly what it did where the program was exported: it was "
            "changed since, or this machine rounds otherwise.",
        )
    return cell
