"""Equations, one cell a file.  `catalogue()` lists them, `find` turns a name, class or instance into a cell."""

from gatework.cells.catalogue import catalogue, find
from gatework.cells.cell import Cell
from gatework.cells.declarations import matrix, noise, per_step, vector

__all__ = ["Cell", "catalogue", "find", "matrix", "noise", "per_step", "vector"]
