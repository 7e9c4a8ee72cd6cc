"""One or many series on a regular time axis, gaps filled and marked, as flat arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gatework.data.frequency import Bools, Ints
from gatework.data.values import Floats
from gatework.data.wording import counted
from gatework.errors import InputError
from gatework.say import say

if TYPE_CHECKING:
    from gatework.data.schema import Schema

Float32s = NDArray[np.float32]


@dataclass(frozen=True)
class Panel:
    """Series one after the other; N series, R rows in all.

    Series i has the rows offsets[i] .. offsets[i + 1]; its target is known up to ends[i], and rows from there on carry
    future covariates only. Where a value is missing, `observed` is False and `values` repeats the last one known, which
    looks at nothing later.

    Args:
        schema: what the columns mean, learned at fit.
        ids: N names.
        codes: int64 [N], the position of the name among `schema.ids`, len(schema.ids) for a series not seen at fit.
        offsets: int64 [N + 1].
        ends: int64 [N].
        starts: int64 [N], the timestamp of each first row (microseconds since 1970, or an integer).
        values: float64 [R], in the target's own units.
        observed: bool [R].
        past: float32 [R, P], covariates known up to the end; NaN where unknown.
        future: float32 [R, F], covariates known beyond it, without calendar features; NaN where unknown.
        static: float32 [N, S], NaN where unknown.
        backend: the kind of frame that came in: "pandas", "polars" or "pyarrow".
    """

    schema: Schema
    ids: list[str]
    codes: Ints
    offsets: Ints
    ends: Ints
    starts: Ints
    values: Floats
    observed: Bools
    past: Float32s
    future: Float32s
    static: Float32s
    backend: str = "pandas"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> Ints:
        """Rows of each series up to its last observed target, int64 [N]."""
        return self.ends - self.offsets[:-1]

    def series(self, i: int) -> tuple[Floats, Bools]:
        """Values and observed of series i, up to its end."""
        rows = slice(int(self.offsets[i]), int(self.ends[i]))
        return self.values[rows], self.observed[rows]

    @property
    def row_series(self) -> Ints:
        """The series of each row, int64 [R]."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def times(self) -> Ints:
        """The timestamp of each row, int64 [R]."""
        series = self.row_series
        return self.schema.frequency.at(self.starts[series], np.arange(len(series)) - self.offsets[series])

    def times_after(self, origins: Ints, horizon: int) -> Ints:
        """Timestamps [N, horizon] of the steps from position `origins` [N] (counted from each series' first row)."""
        steps = origins[:, None] + np.arange(horizon)
        return self.schema.frequency.at(np.broadcast_to(self.starts[:, None], steps.shape), steps)

    def spoken_time(self, time: int) -> str:
        """A timestamp for a message."""
        if not self.schema.frequency.is_dates:
            return str(time)
        return str(pd.Timestamp(int(time), unit="us")).removesuffix(" 00:00:00")

    def select(self, keep: Bools) -> Panel:
        """The series where `keep` [N] is True."""
        rows = np.repeat(keep, np.diff(self.offsets))
        lengths = np.diff(self.offsets)[keep]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return replace(
            self,
            ids=[name for name, kept in zip(self.ids, keep, strict=True) if kept],
            codes=self.codes[keep],
            offsets=offsets,
            ends=offsets[:-1] + self.lengths[keep],
            starts=self.starts[keep],
            values=self.values[rows],
            observed=self.observed[rows],
            past=self.past[rows],
            future=self.future[rows],
            static=self.static[keep],
        )

    def check_length(self, least: int, why: str, drop_short: bool = False) -> Panel:
        """The panel, each of its series at least `least` rows long.

        Args:
            least: rows needed up to the last observed target.
            why: what needs them, for the message, e.g. "horizon + 1".
            drop_short: leave shorter series out (said) instead of raising.

        Raises:
            InputError: series are shorter, or none is left.
        """
        short = self.lengths < least
        if not short.any():
            return self
        named = [f"{self.ids[i]} ({self.lengths[i]})" for i in np.flatnonzero(short)[:8]]
        listed = ", ".join(named) + (f" and {short.sum() - 8} more" if short.sum() > 8 else "")
        if short.all() or not drop_short:
            drop = "" if short.all() else ", or leave them out with drop_short=True"
            raise InputError(
                f"{short.sum()} of {len(self)} series are shorter than {least} rows ({why}): {listed}. "
                f"Expected at least {least} rows with a target in each; give more rows, a smaller horizon{drop}."
            )
        say(f"left out {short.sum()} of {len(self)} series, shorter than {least} rows ({why}): {listed}")
        return self.select(~short)

    def cut(self, ends: Ints) -> Panel:
        """The panel as it was when the target was known up to `ends` [N] only; later rows keep future covariates."""
        known = np.arange(len(self.values)) < ends[self.row_series]
        values = np.where(known, self.values, np.nan)
        past = np.where(known[:, None], self.past, np.float32("nan"))
        return replace(self, ends=np.minimum(ends, self.ends), values=values, observed=self.observed & known, past=past)

    def extend(self, horizon: int) -> Panel:
        """The panel with exactly `horizon` rows after each end, to forecast them.

        Raises:
            InputError: a future covariate is missing in one of these rows; columns, series and dates are named.
        """
        lengths = self.lengths + horizon
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        series = np.repeat(np.arange(len(self)), lengths)
        step = np.arange(offsets[-1]) - offsets[series]
        there = step < np.diff(self.offsets)[series]
        source = (self.offsets[series] + step)[there]

        def spread(old: NDArray[Any], fill: float | bool) -> NDArray[Any]:
            new = np.full((len(series), *old.shape[1:]), fill, dtype=old.dtype)
            new[there] = old[source]
            return new

        beyond = step >= self.lengths[series]
        extended = replace(
            self,
            offsets=offsets,
            ends=offsets[:-1] + self.lengths,
            values=np.where(beyond, np.nan, spread(self.values, np.nan)),
            observed=spread(self.observed, False) & ~beyond,
            past=np.where(beyond[:, None], np.float32("nan"), spread(self.past, np.nan)),
            future=spread(self.future, np.nan),
        )
        extended._require_future(beyond)
        return extended

    def _require_future(self, beyond: Bools) -> None:
        missing = np.isnan(self.future) & beyond[:, None]
        if not missing.any():
            return
        rows = np.flatnonzero(missing.any(axis=1))
        times, series = self.times, self.row_series
        columns = [name for name, gap in zip(self.schema.future_names, missing.T, strict=True) if gap.any()]
        places = [f"{self.ids[series[row]]} at {self.spoken_time(times[row])}" for row in rows[:4]]
        raise InputError(
            f"the future covariates {', '.join(columns)} are missing in {counted(len(rows), 'row')} to forecast: "
            f"{'; '.join(places)}{' ...' * (len(rows) > 4)}. Expected their values for each of these; give them with "
            "future=..., or as rows of data without a target."
        )

    def data_hash(self) -> str:
        """SHA-256 of names, times and values: the same data give the same hash whatever frame or file they came in."""
        digest = hashlib.sha256()
        digest.update("\0".join(self.ids).encode())
        arrays = (self.offsets, self.starts, self.values, self.observed, self.past, self.future, self.static)
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
