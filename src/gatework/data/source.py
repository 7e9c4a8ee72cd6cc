"""What a user hands in, as one narwhals frame: pandas, polars or arrow frames and series, arrays, or a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from gatework.data.files import read_file
from gatework.data.wording import listed, quoted
from gatework.errors import InputError
from gatework.say import say

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
        source = Source(nw.from_native(read_file(Path(data)), eager_only=True), Path(data).name, "pandas")
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
