"""Columns of texts, labels or lists behind a file or frame, and where each row came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd

from gatework.data.files import LINE_ENDINGS, json_rows, read_parquet
from gatework.data.packing import ending, named_errors
from gatework.data.text.delimited import read_delimited
from gatework.data.wording import did_you_mean, quoted, rows_at
from gatework.errors import InputError

TABLE_ENDINGS = (".csv", ".tsv", ".parquet", *LINE_ENDINGS)


@dataclass(frozen=True)
class Columns:
    """A table of R rows by column.

    Args:
        name: what it is called in messages.
        values: R values by the name of the column; None is missing.
        numbers: the number of each row in its file.
        unit: what these numbers count, "line" or "row".
    """

    name: str
    values: dict[str, list[Any]]
    numbers: Sequence[int]
    unit: str = "row"

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def places(self) -> list[str]:
        """Where each row came from: "reviews.csv line 17"."""
        return [f"{self.name} {self.unit} {number}" for number in self.numbers]

    def at(self, rows: Sequence[int]) -> str:
        """Rows as "lines 3, 4 and 7 more"."""
        said = rows_at([self.numbers[row] - 1 for row in rows])
        return said.replace("row", self.unit, 1)

    def named(self, column: str | int, argument: str) -> str:
        """The name of a column given by name or by number from 1; InputError when it is not there."""
        names = list(self.values)
        if isinstance(column, str) and column not in self.values and column.isdecimal():
            column = int(column)
        if isinstance(column, int) and not isinstance(column, bool) and 1 <= column <= len(names):
            return names[column - 1]
        if isinstance(column, str) and column in self.values:
            return column
        hint = did_you_mean(column, names) if isinstance(column, str) else ""
        raise InputError(
            f"{argument}={column!r}, but {self.name} has no such column.{hint} It has {quoted(names)}. "
            "Name one of them, or rename it."
        )

    def known(self, candidates: Iterable[str]) -> str | None:
        """The first column that is called as one of `candidates`, whatever its case."""
        lower = {name.strip().casefold(): name for name in reversed(self.values)}
        return next((lower[name] for name in candidates if name in lower), None)


def open_columns(source: Any, known: Iterable[str], example: str, argument: str = "data") -> Columns:
    """The columns of a file or frame.

    Args:
        source: a pandas, polars or arrow frame, or the path of a .csv, .tsv, .txt, .jsonl (each also packed by .gz or
            .xz) or .parquet file.
        known: names that columns of such a table often have, in small letters; a header line is known by them.
        example: a line of JSON as it is expected.
        argument: what a frame is called in messages.

    Raises:
        InputError: something else; a file that is missing, empty, damaged or in another encoding; no rows.
    """
    if not isinstance(source, str | Path):
        return _of_frame(source, argument)
    path = Path(source)
    kind = ending(path)
    if kind in (*LINE_ENDINGS, ".json"):
        with named_errors(path):
            rows = list(json_rows(path, example))
        if not rows:
            raise InputError(f"{path} is empty. Expected a line for each row: {example}.")
        names = dict.fromkeys(name for _, row in rows for name in row)
        values = {name: [row.get(name) for _, row in rows] for name in names}
        return Columns(path.name, values, [number for number, _ in rows], "line")
    if kind == ".parquet":
        with named_errors(path):
            return _of_frame(read_parquet(path), path.name)
    columns, numbers, unit = read_delimited(path, frozenset(name.casefold() for name in known))
    return Columns(path.name, columns, numbers, unit)


def _of_frame(source: Any, name: str) -> Columns:
    if isinstance(source, pd.DataFrame) and any(index is not None for index in source.index.names):
        source = source.reset_index()
    native = nw.from_native(source, pass_through=True)
    if isinstance(native, nw.LazyFrame):
        native = native.collect()
    if not isinstance(native, nw.DataFrame):
        raise InputError(
            f"{name} is a {type(source).__module__}.{type(source).__name__}. Expected a pandas, polars or arrow frame, "
            "or the path of a .csv, .tsv, .jsonl or .parquet file."
        )
    names = [str(column) for column in native.columns]
    if not names or len(native) == 0:
        held = f"the columns {quoted(names)} but no rows" if names else "no columns"
        raise InputError(f"{name} has {held}. Expected rows; add data.")
    lists = [[None if _missing(cell) else cell for cell in native[column].to_list()] for column in native.columns]
    return Columns(name, dict(zip(names, lists, strict=True)), range(1, len(native) + 1))


def _missing(cell: Any) -> bool:
    return cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and cell != cell)
