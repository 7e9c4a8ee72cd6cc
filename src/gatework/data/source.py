"""What a user hands in, as one narwhals frame: pandas, polars or arrow frames and series, arrays, or a path."""

from __future__ import annotations

import gzip
import io
import json
import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from gatework.data.wording import did_you_mean, listed, quoted
from gatework.errors import InputError
from gatework.say import say

_TEXT_ENDINGS = (".csv", ".tsv", ".txt")
_LINE_ENDINGS = (".jsonl", ".ndjson")
_COLUMN_LIMIT = 100_000


@dataclass(frozen=True)
class Source:
    """A frame, the name it has in messages, and the kind of frame that answers are returned in."""

    frame: nw.DataFrame[Any]
    name: str
    backend: str  # "pandas", "polars" or "pyarrow"


def open_source(data: Any, argument: str = "data") -> Source:
    """The frame behind `data`.

    Args:
        data: pandas, polars or arrow frame; pandas or polars series; 1-D array; or the path of a .csv, .tsv, .txt,
            .jsonl (each also .gz) or .parquet file.
        argument: what `data` is called in messages.

    Raises:
        InputError: something else; a file that is missing, empty, damaged or in another encoding; no rows.
    """
    if isinstance(data, str | Path):
        source = Source(nw.from_native(_read_path(Path(data)), eager_only=True), Path(data).name, "pandas")
    else:
        frame = _to_frame(data, argument)
        source = Source(frame, argument, _backend(frame))
    _check_frame(source)
    return source


def _to_frame(data: Any, argument: str) -> nw.DataFrame[Any]:
    if isinstance(data, pd.Series):
        data = data.to_frame(data.name if data.name is not None else "y")
    if isinstance(data, np.ndarray) and data.ndim == 1:
        data = pd.DataFrame({"y": data})
    if isinstance(data, pd.DataFrame):
        data = _index_to_columns(data)
    try:
        native = nw.from_native(data, pass_through=True, allow_series=True)
    except nw.exceptions.DuplicateError as error:
        raise InputError(
            f"{argument} has a column more than once among {quoted(map(str, data.columns))}. Expected distinct names; "
            "rename one."
        ) from error
    if isinstance(native, nw.Series):
        native = native.to_frame()
    if isinstance(native, nw.LazyFrame):
        native = native.collect()
    if not isinstance(native, nw.DataFrame):
        shape = f" of shape {data.shape}" if isinstance(data, np.ndarray) else ""
        raise InputError(
            f"{argument} is a {type(data).__module__}.{type(data).__name__}{shape}. Expected a pandas, polars or arrow "
            "frame, a one-dimensional array, or the path of a .csv, .jsonl or .parquet file."
        )
    nested = [name for name in native.columns if _is_nested(native[name])]
    if nested:
        say(f"columns of lists or other nested values are left out: {listed(nested)}")
    return native.drop(nested)


def _is_nested(column: nw.Series[Any]) -> bool:
    """Whether a column holds lists, dicts and the like, which are neither names nor times nor values."""
    if column.dtype == nw.Object:
        return any(isinstance(value, list | dict | set | tuple | np.ndarray) for value in column.to_list())
    return column.dtype.is_nested()


def _index_to_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """A pandas index that holds dates or has names becomes columns."""
    index = frame.index
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
        frame = frame.set_axis(index)
    dated = isinstance(index, pd.DatetimeIndex)
    if dated or any(name is not None for name in index.names):
        if index.names == [None]:
            frame = frame.rename_axis("ds")
        clash = [name for name in frame.index.names if name in frame.columns]
        if clash:
            raise InputError(f"the index of the frame has the name of a column, {clash[0]!r}. Rename one of them.")
        say(f"the index of the frame ({', '.join(map(str, frame.index.names))}) is used as a column")
        frame = frame.reset_index()
    return frame.set_axis([str(name) for name in frame.columns], axis=1)


def _backend(frame: nw.DataFrame[Any]) -> str:
    name = frame.implementation.name.lower()
    return name if name in ("pandas", "polars", "pyarrow") else "pandas"


def _check_frame(source: Source) -> None:
    names = source.frame.columns
    if not names or len(source.frame) == 0:
        columns = f"the columns {quoted(names)} but no rows" if names else "no columns"
        raise InputError(f"{source.name} has {columns}. Expected at least two rows of a time and a value; add data.")
    if len(names) > _COLUMN_LIMIT:
        raise InputError(f"{source.name} has {len(names)} columns; expected one row per timestamp, not per series.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{source.name} has the column {twice[0]!r} more than once. Expected distinct names; rename one."
        )


def _read_path(path: Path) -> pd.DataFrame:
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
    fields = [field.strip().strip('"') for field in first.split(separator)]
    headless = not any(_could_be_name(field) for field in fields)
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
