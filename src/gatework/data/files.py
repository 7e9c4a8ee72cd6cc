"""Files as tables: .csv, .tsv, .txt and .jsonl, each also packed with gzip or xz, and .parquet."""

from __future__ import annotations

import csv
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from gatework.data.packing import ending, named_errors, open_packed, packing
from gatework.errors import InputError
from gatework.say import say

_TEXT_ENDINGS = (".csv", ".tsv", ".txt")
LINE_ENDINGS = (".jsonl", ".ndjson")


def read_file(path: Path) -> pd.DataFrame:
    """The table in a file.

    Raises:
        InputError: missing, empty, forbidden, damaged, in another encoding or of an unknown kind.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder. Expected one file: .csv, .tsv, .jsonl (each also .gz) or .parquet.")
    with named_errors(path):
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes). Expected a header line and rows; check how it was written.")
        kind = ending(path)
        if kind in _TEXT_ENDINGS:
            return _read_text(path, kind)
        if kind in LINE_ENDINGS:
            return pd.DataFrame([row for _, row in json_rows(path, '{"ds": ..., "y": ...}')])
        if kind == ".parquet":
            return read_parquet(path)
    raise InputError(
        f"{path} has the ending {''.join(path.suffixes[-2:]).lower() or 'none'!r}. Expected .csv, .tsv, .txt, .jsonl "
        "(each also .gz or .xz) or .parquet; save it as one of these."
    )


def _read_text(path: Path, kind: str) -> pd.DataFrame:
    first = _first_line(path)
    separator = "\t" if kind == ".tsv" else _separator(first)
    fields = header_fields(path, first, separator)
    headless = not any(could_be_name(field.strip()) for field in fields)
    if headless:
        say(f"{path.name} has no header line; its columns are called column1 to column{len(fields)}")
    twice = sorted({field for field in fields if fields.count(field) > 1})
    if twice and not headless:
        raise InputError(f"{path} has the column {twice[0]!r} more than once. Expected distinct names; rename one.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # pandas would cut long lines off
            return pd.read_csv(
                path,
                sep=separator,
                header=None if headless else 0,
                names=[f"column{i}" for i in range(1, len(fields) + 1)] if headless else None,
                index_col=False,
                skipinitialspace=True,
                encoding="utf-8-sig",
                low_memory=False,
                compression=packing(path),
            )
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path} holds no columns. Expected a header line and rows.") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise InputError(
            f"{path} is not a regular table: {str(error).strip()}. Expected the same number of fields in "
            "every line; mend that line."
        ) from error


def header_fields(path: Path, line: str, separator: str) -> list[str]:
    """The fields of the first line of a table; InputError when it cannot be read."""
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    except csv.Error as error:
        raise InputError(
            f"the first line of {path} is no header: {error}. Expected the names of the columns; "
            "check how it was written."
        ) from error


def _separator(line: str) -> str:
    best = separator_of(line)
    if best != ",":
        say(f"columns are separated by {best!r}")
    return best


def separator_of(line: str) -> str:
    """The mark that stands most often in a line: comma, semicolon, tab or bar; comma where none does."""
    counts = {mark: line.count(mark) for mark in (",", ";", "\t", "|")}
    return max(counts, key=lambda mark: counts[mark])


def json_rows(path: Path, example: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines, each with the number of its line; blank lines are passed over.

    Raises:
        InputError: a line that is no JSON object; `example` shows one.
    """
    with open_packed(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except (json.JSONDecodeError, RecursionError) as error:
                row = error
            if not isinstance(row, dict):
                shown = line[:40].decode(errors="replace").strip()
                raise InputError(
                    f"line {number} of {path} is not a JSON object: {shown!r}. Expected one object a line, "
                    f"{example}; mend that line."
                )
            yield number, row


def read_parquet(path: Path) -> pd.DataFrame:
    """The table in a Parquet file; InputError when it cannot be read or pyarrow is not there."""
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise InputError(
            f"{path} needs pyarrow to be read. Install it (pip install pyarrow), or save the data as .csv."
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a Parquet file that can be read: {error}. Get or write it again.") from error


def _first_line(path: Path) -> str:
    """The first line that is not blank; InputError when the file has none or is UTF-16."""
    with open_packed(path) as file:
        for line in file:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in line:
                raise InputError(
                    f"{path} is not UTF-8 text: it looks like UTF-16 or a binary file. Save it as UTF-8 CSV."
                )
            if line.strip():
                return line.decode("utf-8-sig")
    raise InputError(f"{path} holds blank lines only. Expected a header line and rows; check how it was written.")


def could_be_name(text: str) -> bool:
    """Whether a field of a first line may name a column: it is no number and no date."""
    number = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
    date = r"\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([ T]\d.*)?"
    return not re.fullmatch(f"{number}|{date}", text)
