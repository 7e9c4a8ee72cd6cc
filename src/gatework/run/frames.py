"""Data frames as files: CSV, JSON lines, Parquet, text and CoNLL, in memory first and then written in one step."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatework.errors import InputError
from gatework.run import durable, jsonfile

if TYPE_CHECKING:
    import narwhals as nw

ENDINGS = (".csv", ".csv.gz", ".tsv", ".jsonl", ".jsonl.gz", ".parquet", ".txt", ".conll")


def check_output(path: str | Path) -> None:
    """Raise InputError or StorageError where `write_frame` could not write `path`; call it before work of minutes."""
    _ending(str(path))
    durable.check_place(Path(path).resolve())


def write_frame(path: str | Path, frame: Any) -> None:
    """Write a pandas, polars or arrow frame to `path`; its ending chooses the format.

    Raises:
        InputError: an ending that is not known, or no frame.
        StorageError: the disk is full or may not be written; a file that was there before is untouched.
    """
    durable.write(Path(path).resolve(), encode(frame, str(path)))  # a link goes on pointing to its file


def encode(frame: Any, name: str) -> bytes:
    """The bytes of `frame` in the format that the ending of `name` chooses."""
    import narwhals as nw  # only where a table is written: listing runs must be quick

    table = nw.from_native(frame, eager_only=True)
    ending = _ending(name)
    if ending == ".parquet":
        buffer = io.BytesIO()
        table.write_parquet(buffer)
        return buffer.getvalue()
    data = _text(table, ending.removesuffix(".gz"))
    # mtime=0: the same table gives the same bytes
    return gzip.compress(data, mtime=0) if ending.endswith(".gz") else data


def _ending(name: str) -> str:
    ending = next((ending for ending in reversed(ENDINGS) if name.lower().endswith(ending)), None)
    if ending is None:
        raise InputError(f"{name} has an ending that is not known; choose one of {', '.join(ENDINGS)}.")
    return ending


def _text(table: nw.DataFrame[Any], ending: str) -> bytes:
    if ending == ".jsonl":
        return b"".join(jsonfile.encode(_plain(row), indent=None) + b"\n" for row in table.iter_rows(named=True))
    if ending == ".txt":
        return _lines(table)
    if ending == ".conll":
        return _columns(table)
    import pandas as pd

    native = table.to_native()
    frame = native if isinstance(native, pd.DataFrame) else pd.DataFrame(table.to_dict(as_series=False))
    return frame.to_csv(index=False, sep="\t" if ending == ".tsv" else ",").encode()


def _lines(table: nw.DataFrame[Any]) -> bytes:
    """The rows of a table of one column, a line each."""
    if len(table.columns) != 1:
        raise InputError(
            f"a .txt file holds one column; this table has {len(table.columns)} ({', '.join(table.columns)}). "
            "Choose .csv, .tsv, .jsonl or .parquet."
        )
    return "".join(f"{value}\n" for value in table[table.columns[0]].to_list()).encode()


def _columns(table: nw.DataFrame[Any]) -> bytes:
    """Tokens and tags between tabs, an empty line where `sentence` changes."""
    names = ["token", "tag"]
    if not {"sentence", *names} <= set(table.columns) or "rank" in table.columns:
        raise InputError(
            "a .conll file holds the columns sentence, token and tag, a way to tag each sentence; this table has "
            f"{', '.join(table.columns)}. Choose .csv, .tsv, .jsonl or .parquet."
        )
    lines, before = [], None
    for number, row in zip(table["sentence"].to_list(), table.select(names).iter_rows(), strict=True):
        if before is not None and number != before:
            lines.append("")
        lines.append("\t".join(map(str, row)))
        before = number
    return "".join(f"{line}\n" for line in lines).encode()


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON: missing numbers become null, dates ISO text."""
    result = {}
    for name, value in row.items():
        if hasattr(value, "isoformat"):
            result[name] = None if value != value else value.isoformat()
        elif isinstance(value, float) and value != value:
            result[name] = None
        else:
            result[name] = value.item() if hasattr(value, "item") else value
    return result
