"""Tables of texts in .csv, .tsv and .txt files: every cell is text, nothing is taken for a number or as missing."""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from gatework.data.files import could_be_name, header_fields, separator_of
from gatework.data.text.textfile import read_text
from gatework.data.wording import listed
from gatework.errors import InputError
from gatework.say import say

Table = tuple[dict[str, list[str]], Sequence[int], str]  # columns by name, number of each row, "line" or "row"
_LOOK = 1000  # rows that are looked at to tell a header from a row


def read_delimited(path: Path, known: frozenset[str], separator: str | None = None) -> Table:
    """The columns of a table, the number of each row in the file, and whether that counts lines or rows.

    The first line is taken for a header when one of its fields is in `known`, or when they look like names and do not
    come again below; else the columns are called column1, column2 ... (said). Quotes are read as csv has them, but in
    files between tabs where these do not keep to its rules they belong to the text.

    Args:
        path: the file.
        known: names in small letters that columns of such a table often have, and those the user gave.
        separator: between columns; default: a tab in .tsv, else the most frequent mark of the first line.

    Raises:
        InputError: as for `read_text`, and lines with more fields than the first; cells that are not there are empty.
    """
    text = read_text(path)
    first = text.lstrip("\n").partition("\n")[0]
    if separator is None:
        separator = "\t" if "\t" in first or ".tsv" in path.name.lower() else separator_of(first)
    lines = text.split("\n")
    rows = _unquoted(lines) if separator == "\t" else None
    if rows is not None:
        cells = [fields for _, fields in rows]
        headed = _has_header(cells, known)
        names = cells[0] if headed else [f"column{i}" for i in range(1, len(cells[0]) + 1)]
        _check_names(path, names)
        columns = {name: list(values) for name, values in zip(names, zip(*cells[headed:], strict=True), strict=False)}
        numbers: Sequence[int] = [number for number, _ in rows[headed:]]
        unit = "line"
    else:
        frame, headed = _quoted(path, text, separator, known)
        columns = {str(name): frame[name].tolist() for name in frame.columns}
        straight = len(frame) + headed == len(text.rstrip("\n").split("\n"))  # no cell reaches over a line break
        numbers = range(1 + headed, len(frame) + 1 + headed) if straight else range(1, len(frame) + 1)
        unit = "line" if straight else "row"
    if not headed:
        say(f"{path.name} has no header line; its columns are called {listed(list(columns))}")
    elif known.isdisjoint(name.casefold() for name in columns):
        say(f"{path.name}: the first line is taken for a header: {listed(list(columns))}")
    if not columns or not len(numbers):
        raise InputError(f"{path} has a header line but no rows ({listed(list(columns))}). Expected rows; add them.")
    return columns, numbers, unit


def _unquoted(lines: list[str]) -> list[tuple[int, list[str]]] | None:
    """Number and fields of each line between tabs; None where quotes are to be read as csv has them."""
    rows = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows or len({len(fields) for _, fields in rows}) > 1:
        return None
    opened = [field for _, fields in rows for field in fields if field.startswith('"')]
    whole = re.compile(r'"(?:[^"]|"")*"')
    return None if opened and all(whole.fullmatch(field) for field in opened) else rows


def _quoted(path: Path, text: str, separator: str, known: frozenset[str]) -> tuple[pd.DataFrame, bool]:
    first = next(line for line in text.split("\n") if line.strip())
    names = header_fields(path, first, separator)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text), sep=separator, header=None, names=range(len(names)), index_col=False, dtype=object,
                na_filter=False, skipinitialspace=True, engine="c", quoting=csv.QUOTE_MINIMAL,
            )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise InputError(
            f"{path} is not a regular table: {_reason(error)}. Expected {len(names)} fields in every line; mend "
            "that line, put texts that hold the separator in double quotes, or use .jsonl."
        ) from error
    headed = _has_header(frame.head(_LOOK).values.tolist(), known)
    if headed:
        names = [name.strip() for name in frame.iloc[0].tolist()]
        frame = frame.iloc[1:]
    else:
        names = [f"column{i}" for i in range(1, len(names) + 1)]
    _check_names(path, names)
    return frame.set_axis(names, axis=1), headed


def _reason(error: Exception) -> str:
    """What pandas says is wrong, without where in pandas it was found."""
    return str(error).strip().removeprefix("Error tokenizing data. C error: ")


def _has_header(rows: list[list[str]], known: frozenset[str]) -> bool:
    """Whether the first row holds the names of columns."""
    first = [field.strip() for field in rows[0]]
    if not all(field and could_be_name(field) for field in first):
        return False
    if any(field.casefold() in known for field in first):
        return True
    if len(set(first)) < len(first) or any(len(field) > 40 or field.count(" ") > 2 for field in first):
        return False
    below = rows[1:_LOOK]
    return not any(row[i].strip() == field for row in below for i, field in enumerate(first))


def _check_names(path: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{path} has the column {twice[0]!r} more than once. Expected distinct names; rename one.")
