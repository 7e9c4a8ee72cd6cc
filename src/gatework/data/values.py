"""Columns of values as float64 arrays: numbers, and categories as one column for each level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatework.data.wording import counted, listed, quoted, rows_at
from gatework.errors import ArtefactError, InputError
from gatework.say import say

Floats = NDArray[np.float64]
LEVEL_LIMIT = 64
LARGEST = 1e18  # its square still fits float32


@dataclass(frozen=True)
class Covariate:
    """A covariate column: `levels` are the texts of a categorical one in sorted order, None for a numeric one."""

    name: str
    levels: tuple[str, ...] | None = None

    @property
    def features(self) -> list[str]:
        """The names of the columns it becomes: its own, or "name=level" for each level."""
        return [self.name] if self.levels is None else [f"{self.name}={level}" for level in self.levels]

    def encode(self, column: nw.Series[Any]) -> Floats:
        """The values [rows, features]; missing ones are NaN, unseen categories are 0 in every level."""
        if self.levels is None:
            return numbers(column, self.name)[:, None]
        texts = texts_of(column)
        known = {level: i for i, level in enumerate(self.levels)}
        codes = texts.map(known).fillna(-1).to_numpy(dtype=np.int64)
        unseen = np.flatnonzero((codes < 0) & texts.notna().to_numpy())
        if len(unseen):
            names = sorted(set(texts.iloc[unseen]))
            say(
                f"column {self.name!r} holds {quoted(names)} in {rows_at(unseen)}, not seen at fit "
                f"(known: {quoted(self.levels)}); treated as none of the known"
            )
        result = np.zeros((len(codes), len(self.levels)))
        result[texts.isna().to_numpy()] = np.nan
        seen = np.flatnonzero(codes >= 0)
        result[seen, codes[seen]] = 1.0
        return result

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return {"name": self.name, "levels": None if self.levels is None else list(self.levels)}

    @classmethod
    def from_json(cls, value: Any) -> Covariate:
        """The covariate that `to_json` described; ArtefactError when it is not one."""
        fits = isinstance(value, dict) and value.keys() == {"name", "levels"} and isinstance(value["name"], str)
        levels = value["levels"] if fits else None
        if not fits or not (levels is None or (isinstance(levels, list) and all(isinstance(x, str) for x in levels))):
            raise ArtefactError(f"{str(value)[:80]!r} does not describe a covariate. The file is damaged; restore it.")
        return cls(value["name"], None if levels is None else tuple(levels))


def learn(column: nw.Series[Any], name: str) -> Covariate:
    """The covariate that `column` is: numeric, or categorical with the levels it holds.

    Raises:
        InputError: all missing; more than 64 levels; values that are neither numbers nor texts.
    """
    if column.null_count() == len(column) or (column.dtype.is_float() and np.isnan(column.to_numpy()).all()):
        raise InputError(
            f"covariate {name!r} has no value in any row. Expected numbers or categories; fill it or leave it out."
        )
    if column.dtype.is_numeric() or column.dtype == nw.Boolean or _reads_as_numbers(column):
        return Covariate(name)
    if column.dtype.is_temporal() or column.dtype.is_nested():
        raise InputError(
            f"covariate {name!r} holds {column.dtype} values. Expected numbers or texts; convert the column."
        )
    levels = sorted(set(texts_of(column).dropna()))
    if len(levels) > LEVEL_LIMIT:
        raise InputError(
            f"covariate {name!r} holds {len(levels)} different texts, such as {levels[0]!r}. Expected numbers, or at "
            f"most {LEVEL_LIMIT} categories; group them, or leave the column out."
        )
    say(f"covariate {name!r} is categorical, with {counted(len(levels), 'level')}: {listed(levels)}")
    return Covariate(name, tuple(levels))


def numbers(column: nw.Series[Any], name: str) -> Floats:
    """The column as float64 with NaN where a value is missing; texts that are numbers are read as such.

    Raises:
        InputError: a text that is no number, an infinity, a number above 1e18, values of another kind; rows are named.
    """
    if column.dtype.is_numeric() or column.dtype == nw.Boolean:
        result = column.cast(nw.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    elif column.dtype.is_temporal() or column.dtype.is_nested():
        raise InputError(f"column {name!r} holds {column.dtype} values. Expected numbers; name another column.")
    else:
        result = _parsed(column, name)
    infinite = np.flatnonzero(np.isinf(result))
    if len(infinite):
        raise InputError(
            f"column {name!r} holds {result[infinite[0]]} in {rows_at(infinite)}. Expected finite numbers; "
            "leave these fields empty when the value is unknown."
        )
    huge = np.flatnonzero(np.abs(result) > LARGEST)
    if len(huge):
        raise InputError(
            f"column {name!r} holds {result[huge[0]]:g} in {rows_at(huge)}. Expected numbers up to {LARGEST:g} in "
            "size; correct these fields, or give the column in a larger unit."
        )
    return result


def _parsed(column: nw.Series[Any], name: str) -> Floats:
    texts = texts_of(column)
    parsed = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    broken = np.flatnonzero(np.isnan(parsed) & texts.notna().to_numpy() & (texts != "").to_numpy())
    if len(broken):
        value = texts.iloc[broken[0]]
        comma = " Numbers are written with a point and no thousands mark: 1234.5." if "," in value else ""
        raise InputError(
            f"column {name!r} holds the text {value!r} in {rows_at(broken)}. Expected numbers; correct these fields, "
            f"or leave them empty when the value is unknown.{comma}"
        )
    return parsed


def _reads_as_numbers(column: nw.Series[Any]) -> bool:
    texts = texts_of(column).dropna()
    return len(texts) > 0 and bool(pd.to_numeric(texts, errors="coerce").notna().all())


def objects(column: nw.Series[Any]) -> pd.Series[Any]:
    """The values as Python objects in pandas; polars and arrow need no further package for it."""
    native = column.to_native()
    return native.astype(object) if isinstance(native, pd.Series) else pd.Series(column.to_list(), dtype=object)


def texts_of(column: nw.Series[Any]) -> pd.Series[Any]:
    """The values as texts without spaces around them, whole numbers without ".0"; missing ones are None."""
    codes, distinct = pd.factorize(objects(column))

    def text(value: Any) -> str:
        return str(int(value)) if isinstance(value, float | np.floating) and value.is_integer() else str(value).strip()

    spelled = np.array([*(text(value) for value in distinct), None], dtype=object)
    return pd.Series(spelled[codes], dtype=object)  # a missing value has the code -1: the last one
