"""Reading a table into series: what its columns mean is inferred and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gatework.data import almanac
from gatework.data import frequency as frequencies
from gatework.data.frequency import Frequency
from gatework.data.layout import irregular, lay_out
from gatework.data.panel import Panel
from gatework.data.roles import Roles, assign
from gatework.data.rows import Rows, gather, in_order
from gatework.data.schema import Schema
from gatework.data.season import find_season
from gatework.data.source import Source, open_source
from gatework.data.values import Covariate, learn
from gatework.data.wording import listed
from gatework.errors import InputError
from gatework.say import say


def read(
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    id_column: str | None = None,
    time_column: str | None = None,
    past_covariates: Sequence[str] = (),
    future_covariates: Sequence[str] = (),
    static_covariates: Sequence[str] = (),
    freq: str | None = None,
    season: int | None = None,
) -> Panel:
    """The series in a table; what is not given is inferred from the data and said.

    Args:
        data: pandas, polars or arrow frame, pandas or polars series, 1-D array, or the path of a .csv, .tsv, .txt,
            .jsonl (each also .gz) or .parquet file. One row per series and time.
        target: the column of numbers to forecast, or several: each is a series of its own, named after its column.
        id_column: the column that tells series apart.
        time_column: dates or whole numbers; without one, the order of the rows is the time.
        past_covariates: columns of numbers or categories known up to the present.
        future_covariates: the same, known for the steps to forecast too.
        static_covariates: the same, with one value per series.
        freq: a pandas alias such as "h", "15min", "D", "B", "W", "MS", "ME"; "integer" for whole numbers.
        season: rows in a season, 1 or more; else taken from the frequency, or without dates from the values.

    Raises:
        InputError: the data cannot be used; the message names the place and how to mend it.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"ds": pd.date_range("2024-01-31", periods=3, freq="ME"), "y": [1.0, 2.0, 4.0]})
        >>> panel = read(frame)
        >>> str(panel.schema.frequency), panel.schema.season, panel.values
        ('ME', 12, array([1., 2., 4.]))
    """
    groups = {"past": past_covariates, "future": future_covariates, "static": static_covariates}
    for kind, names in groups.items():
        if isinstance(names, str):
            raise InputError(f"{kind}_covariates={names!r} is a text. Expected a list of column names: [{names!r}].")
    if season is not None and (isinstance(season, bool) or not isinstance(season, int) or season < 1):
        raise InputError(f"season={season!r}. Expected a whole number of rows, 1 (none) or more.")
    source = open_source(data)
    roles = assign(source, target=target, id_column=id_column, time_column=time_column, **groups)
    covariates = {name: learn(source.frame[name], name) for name in (*roles.past, *roles.future, *roles.static)}
    table = in_order(gather(source, roles, covariates))
    schema = _schema(source, roles, covariates, table, _frequency(table, freq, roles.time))
    panel = lay_out(table, schema, source.backend)
    why = "from the frequency"
    if season is not None:
        schema, why = replace(schema, season=season), "given"
    elif not schema.frequency.is_dates:
        found, strength = find_season(panel)
        schema = replace(schema, season=found)
        why = f"found in the values, autocorrelation {strength:.2f}" if found > 1 else "none stands out in the values"
    panel = replace(panel, schema=schema)
    _describe(panel, why, freq)
    return panel


def _schema(source: Source, roles: Roles, covariates: dict[str, Covariate], table: Rows, step: Frequency) -> Schema:
    span = int(table.times.values.max() - table.times.values.min())
    return Schema(
        targets=roles.targets,
        id_column=roles.id,
        time_column=roles.time,
        past=tuple(covariates[name] for name in roles.past),
        future=tuple(covariates[name] for name in roles.future),
        static=tuple(covariates[name] for name in roles.static),
        frequency=step,
        season=step.season,
        calendar=almanac.cycles(step, span),
        ids=tuple(table.names),
        whole_ids=roles.id is not None and source.frame[roles.id].dtype.is_integer() and len(roles.targets) == 1,
        zone=table.times.zone,
        wall=table.times.wall,
    )


def _frequency(table: Rows, freq: str | None, time_column: str | None) -> Frequency:
    if time_column is None:
        return Frequency("integer", 1)
    if freq is None:
        found = frequencies.infer(table.times.values, table.series, table.times.dates)
        if found is None:
            raise irregular(table, None)
        return found
    step = frequencies.parse(freq)
    if step.is_dates != table.times.dates:
        kind = "dates" if table.times.dates else "whole numbers"
        raise InputError(f"freq={freq!r} does not go with column {time_column!r}, which holds {kind}. Leave freq= out.")
    return step


def _describe(panel: Panel, why: str, freq: str | None) -> None:
    schema, lengths = panel.schema, panel.lengths
    span = f"{lengths.min()}" if lengths.min() == lengths.max() else f"{lengths.min()} to {lengths.max()}"
    count = f"{len(panel)} series of" if len(panel) > 1 else "one series of"
    say(f"data: {count} {span} rows")
    if schema.time_column:
        zone = f", times in {schema.zone}" if schema.zone else ""
        say(f"frequency: {schema.frequency}{'' if freq else ' (inferred)'}{zone}")
    say(f"season: {schema.season} rows ({why})" if schema.season > 1 else f"season: none ({why})")
    known = panel.observed
    flat = [panel.ids[i] for i in range(len(panel)) if lengths[i] > 1 and np.ptp(panel.series(i)[0]) == 0]
    if flat and known.any():
        say(f"{len(flat)} series never change: {listed(flat)}")
