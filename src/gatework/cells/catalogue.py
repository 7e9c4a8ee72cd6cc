"""The catalogue: every cell in this folder, found by scan."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from functools import cache
from pathlib import Path

from gatework.cells.cell import Cell
from gatework.errors import CellError


@cache
def catalogue() -> dict[str, type[Cell]]:
    """All shipped cells by name, in alphabetical order."""
    found: dict[str, type[Cell]] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        name = f"gatework.cells.{module.name}"
        for value in vars(importlib.import_module(name)).values():
            own = isinstance(value, type) and issubclass(value, Cell) and value.__module__ == name
            if own and value is not Cell and value.listed:
                found[value.name] = value
    return dict(sorted(found.items()))


def find(cell: str | type[Cell] | Cell, **options: object) -> Cell:
    """The cell meant by a catalogue name, a `Cell` class or an instance.

    Raises CellError for an unknown name (with the nearest ones) and for what is not a cell.
    """
    if isinstance(cell, Cell):
        if options:
            raise CellError(f"options {sorted(options)} came with a finished {cell!r}; give them to its constructor.")
        return cell
    if isinstance(cell, type) and issubclass(cell, Cell) and cell is not Cell:
        return cell(**options)
    if not isinstance(cell, str):
        raise CellError(f"cell must be a name, a Cell class or a Cell, not {cell!r}.")
    known = catalogue()
    if cell not in known:
        near = difflib.get_close_matches(cell.lower().replace("_", "-"), known, 1, 0.5)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise CellError(f"no cell is called {cell!r}.{hint} There are: {', '.join(known)}.")
    return known[cell](**options)
