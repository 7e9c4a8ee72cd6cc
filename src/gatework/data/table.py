"""Reading a table into series: what its columns mean is inferred and said at fit, kept, and held to at predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gatework.data import almanac
from gatework.data import frequency as frequencies
from gatework.data.frequency import Frequency, Ints
from gatework.data.layout import irregular, lay_out
from gatework.data.panel import Panel
from gatework.data.roles import Roles, assign
from gatework.data.rows import Rows, gather, in_order, join
from gatework.data.season import find_season
from gatework.data.source import Source, open_source
from gatework.data.values import Covariate, learn
from gatework.data.wording import did_you_mean, listed, quoted
from gatework.errors import ArtefactError, InputError
from gatework.say import say


@dataclass(frozen=True)
class Schema:
    """What the columns of a table mean; learned by `read`, kept with a model, applied to later tables by `Schema.read`.

    Args:
        targets: the columns to forecast; more than one are as many series.
        id_column: the column that tells series apart, None for one series.
        time_column: None when the order of the rows is the time.
        past: covariates known up to the present, future: known ahead, static: one value per series.
        frequency: the step between rows.
        season: rows in a season, 1 for none.
        calendar: the cycles that are given to a model as features: "hour", "weekday", "day", "year".
        ids: the series at fit.
        whole_ids: whether these names are whole numbers in the table.
        zone: the time zone of the times, None without one.
        wall: with a zone: times are counted on the wall clock (daily and coarser) rather than in UTC.
    """

    targets: tuple[str, ...]
    id_column: str | None
    time_column: str | None
    past: tuple[Covariate, ...]
    future: tuple[Covariate, ...]
    static: tuple[Covariate, ...]
    frequency: Frequency
    season: int
    calendar: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    whole_ids: bool = False
    zone: str | None = None
    wall: bool = True

    @property
    def past_names(self) -> list[str]:
        """The features of the past covariates, P of them; a categorical one has a feature for each level."""
        return [feature for covariate in self.past for feature in covariate.features]

    @property
    def future_names(self) -> list[str]:
        """The features of the future covariates, without those of the calendar."""
        return [feature for covariate in self.future for feature in covariate.features]

    @property
    def static_names(self) -> list[str]:
        """The features of the static covariates, S of them."""
        return [feature for covariate in self.static for feature in covariate.features]

    def codes(self, names: Sequence[str]) -> Ints:
        """The position of each name among `ids`, len(ids) for one that is not there; int64."""
        known = {name: i for i, name in enumerate(self.ids)}
        return np.array([known.get(name, len(known)) for name in names], dtype=np.int64)

    def read(self, data: Any, future: Any = None) -> Panel:
        """Another table with the columns of this schema, in any order; columns beyond them are ignored (said).

        Args:
            data: as for `gatework.data.read`.
            future: a table of id, time and future covariates for the steps to forecast; or give these as rows of
                `data` without a target.

        Raises:
            InputError: columns are missing, times do not keep to the frequency, values cannot be read.
        """
        source = open_source(data)
        roles = self._roles
        self._require(source, [*self.targets, *roles.past, *roles.future, *roles.static])
        table = self._gather(source, roles, has_target=True)
        if future is not None:
            extra = open_source(future, "future")
            self._require(extra, list(roles.future))
            table = join(table, self._gather(extra, roles, has_target=False), self.time_column is None)
        return lay_out(in_order(table), self, source.backend)

    @property
    def _roles(self) -> Roles:
        names = [tuple(covariate.name for covariate in group) for group in (self.past, self.future, self.static)]
        return Roles(self.id_column, self.time_column, self.targets, *names)

    def _gather(self, source: Source, roles: Roles, has_target: bool) -> Rows:
        table = gather(
            source, roles, {c.name: c for c in (*self.past, *self.future, *self.static)}, self.wall, has_target
        )
        expected = "dates" if self.frequency.is_dates else "whole numbers"
        if table.times.dates != self.frequency.is_dates:
            raise InputError(
                f"{source.name} has {'dates' if table.times.dates else 'whole numbers'} as time; the model was "
                f"fitted on {expected}. Expected the same kind; convert the column {self.time_column!r}."
            )
        if table.times.zone != self.zone:
            raise InputError(
                f"{source.name} has times in the zone {table.times.zone or 'none'}; the model was fitted on times in "
                f"{self.zone or 'none'}. Expected the same; convert the column {self.time_column!r}."
            )
        return table

    def _require(self, source: Source, columns: list[str]) -> None:
        names = source.frame.columns
        needed = [*filter(None, (self.id_column, self.time_column)), *columns]
        missing = [name for name in needed if name not in names]
        if missing:
            hints = "".join(did_you_mean(name, names) for name in missing[:3])
            raise InputError(
                f"{source.name} lacks {len(missing)} of the columns this model was fitted with: "
                f"{quoted(missing)}.{hints} Expected {quoted(needed)}; found "
                f"{quoted(names)}. Add them, or fit again without them."
            )
        extra = [
            name for name in names if name not in {*needed, *self.targets, *(c.name for c in self.past + self.static)}
        ]
        if extra:
            say(f"columns not used: {listed(extra)}")

    def to_json(self) -> dict[str, Any]:
        """The schema as a JSON object."""
        return {
            "targets": list(self.targets),
            "id_column": self.id_column,
            "time_column": self.time_column,
            **{kind: [c.to_json() for c in getattr(self, kind)] for kind in ("past", "future", "static")},
            "frequency": self.frequency.to_json(),
            "season": self.season,
            "calendar": list(self.calendar),
            "ids": list(self.ids),
            "whole_ids": self.whole_ids,
            "zone": self.zone,
            "wall": self.wall,
        }

    @classmethod
    def from_json(cls, value: Any) -> Schema:
        """The schema that `to_json` described.

        Raises:
            ArtefactError: it is not one.
        """
        kinds: dict[str, Any] = {
            "id_column": (str, type(None)), "time_column": (str, type(None)), "zone": (str, type(None)),
            "season": int, "whole_ids": bool, "wall": bool, "frequency": dict,
            **dict.fromkeys(("targets", "ids", "calendar", "past", "future", "static"), list),
        }  # fmt: skip
        fits = isinstance(value, dict) and value.keys() == kinds.keys()
        fits = fits and all(isinstance(value[key], kind) for key, kind in kinds.items())
        if (
            not fits
            or not all(isinstance(name, str) for name in (*value["targets"], *value["ids"]))
            or (not set(value["calendar"]) <= almanac.CYCLES.keys())
        ):
            raise ArtefactError("the schema of the data is not one that Gatework writes. It is damaged; restore it.")
        if not value["targets"] or value["season"] < 1:
            raise ArtefactError(
                "the schema of the data names no target or a season below 1. It is damaged; restore it."
            )
        groups = {kind: tuple(Covariate.from_json(c) for c in value[kind]) for kind in ("past", "future", "static")}
        texts = {key: tuple(value[key]) for key in ("targets", "ids", "calendar")}
        return cls(**{**value, **groups, **texts, "frequency": Frequency.from_json(value["frequency"])})


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
