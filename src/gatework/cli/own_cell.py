"""A cell as the command line names it: from the catalogue, or from a file of the user."""

from __future__ import annotations

import runpy
from pathlib import Path

from gatework.cells import Cell, find
from gatework.errors import CellError, InputError


def cell_of(text: str) -> Cell:
    """The cell `lstm`, or class `MyCell` of `path/my_cell.py:MyCell`; the file is run as a script would be.

    Raises InputError where the file is missing or is not Python, CellError where it has no such cell.
    """
    path, colon, name = text.rpartition(":")
    if not colon:
        return find(text)
    if not Path(path).is_file():
        raise InputError(f"there is no file {path}. A cell of your own is given as FILE.py:Class.")
    try:
        found = runpy.run_path(path)
    except SyntaxError as error:
        raise InputError(f"{path} is not Python: {error.msg}, line {error.lineno}.") from error
    kinds = {key: value for key, value in found.items() if isinstance(value, type)}
    cells = [key for key, value in kinds.items() if issubclass(value, Cell) and value is not Cell]
    if name not in cells:
        raise CellError(f"{path} has no cell {name!r}; it has: {', '.join(cells) or 'none (subclass gatework.Cell)'}.")
    return find(found[name])
