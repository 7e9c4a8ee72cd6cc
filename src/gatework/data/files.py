"""Files as tables: .csv, .tsv, .txt and .jsonl, each also packed with gzip, and .parquet."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import warnings
import zlib
from pathlib import Path

import pandas as pd

from gatework.data.wording import did_you_mean
from gatework.errors import InputError
from gatework.say import say

_TEXT_ENDINGS = (".csv", ".tsv", ".txt")
_LINE_ENDINGS = (".jsonl", ".ndjson")


def read_file(path: Path) -> pd.DataFrame:
    """The table in a file.

    Raises:
        InputError: missing, empty, forbidden, damaged, in another encoding or of an unknown kind.
    """
    if not path.exists():
        near = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        raise InputError(f"there is no file {path}.{did_you_mean(path.name, near)} Expected the path of a data file.")
    if path.is_dir():
        raise InputError(f"{path} is a folder. Expected one file: .csv, .tsv, .jsonl (each also .gz) or .parquet.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    ending = suffixes[-2 if packed else -1] if len(suffixes) > packed else ""
    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes). Expected a header line and rows; check how it was written.")
        if ending in _TEXT_ENDINGS:
            return _read_text(path, packed, ending)
        if ending in _LINE_ENDINGS:
            return _read_lines(path, packed)
        if ending == ".parquet":
            return _read_parquet(path)
    except PermissionError as error:
        raise InputError(
            f"{path} may not be read by this user. Expected a readable file; change its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(_encoding_message(path, packed)) from error
    except csv.Error as error:
        raise InputError(
            f"the first line of {path} is no header: {error}. Expected the names of the columns; "
            "check how it was written."
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path} is not a whole gzip file ({error}). It was cut short or is not packed; get it again."
        ) from error
    raise InputError(
        f"{path} has the ending {''.join(suffixes[-2:]) or 'none'!r}. Expected .csv, .tsv, .txt, .jsonl (each also "
        ".gz) or .parquet; save it as one of these."
    )


def _read_text(path: Path, packed: bool, ending: str) -> pd.DataFrame:
    first = _first_line(path, packed)
    separator = "\t" if ending == ".tsv" else _separator(first)
    fields = next(csv.reader([first], delimiter=separator, skipinitialspace=True))
    headless = not any(_could_be_name(field.strip()) for field in fields)
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
                compression="gzip" if packed else None,
            )
    except pd.errors.EmptyDataError as error:
        raise InputError(f"{path} holds no columns. Expected a header line and rows.") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise InputError(
            f"{path} is not a regular table: {str(error).strip()}. Expected the same number of fields in "
            "every line; mend that line."
        ) from error


def _separator(line: str) -> str:
    counts = {mark: line.count(mark) for mark in (",", ";", "\t", "|")}
    best = max(counts, key=lambda mark: counts[mark])
    if best != "," and counts[best] > 0:
        say(f"columns are separated by {best!r}")
        return best
    return ","


def _read_lines(path: Path, packed: bool) -> pd.DataFrame:
    rows = []
    with _open(path, packed) as file:
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
                    '{"ds": ..., "y": ...}; mend that line.'
                )
            rows.append(row)
    return pd.DataFrame(rows)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise InputError(
            f"{path} needs pyarrow to be read. Install it (pip install pyarrow), or save the data as .csv."
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not a Parquet file that can be read: {error}. Get or write it again.") from error


def _open(path: Path, packed: bool) -> io.BufferedIOBase:
    return gzip.open(path, "rb") if packed else path.open("rb")


def _first_line(path: Path, packed: bool) -> str:
    """The first line that is not blank; InputError when the file has none or is UTF-16."""
    with _open(path, packed) as file:
        for line in file:
            if line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in line:
                raise InputError(
                    f"{path} is not UTF-8 text: it looks like UTF-16 or a binary file. Save it as UTF-8 CSV."
                )
            if line.strip():
                return line.decode("utf-8-sig")
    raise InputError(f"{path} holds blank lines only. Expected a header line and rows; check how it was written.")


def _encoding_message(path: Path, packed: bool) -> str:
    with _open(path, packed) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                around = line[max(error.start - 12, 0) : error.start + 12].decode("latin-1").strip()
                return (
                    f"{path} is not UTF-8: line {number} holds the byte 0x{line[error.start]:02x}, around {around!r} "
                    "(read as Latin-1). Save the file as UTF-8, or convert it: iconv -f latin1 -t utf-8."
                )
    return f"{path} is not UTF-8 text. Save the file as UTF-8."


def _could_be_name(text: str) -> bool:
    """Whether a field of a first line may name a column: it is no number and no date."""
    number = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
    date = r"\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([ T]\d.*)?"
    return not re.fullmatch(f"{number}|{date}", text)
