"""Equations, one cell a file.  `catalogue()` lists them, `find` turns a name, class or instance into a cell."""

from gatework.cells.catalogue import catalogue, find
from gatework.cells.cell import Cell, matrix, vector

__all__ = ["Cell", "catalogue", "find", "matrix", "vector"]
