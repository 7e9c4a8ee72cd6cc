"""What the columns of a table mean: learned at fit, kept with a model, held to at predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gatework.data import almanac
from gatework.data.frequency import Frequency, Ints
from gatework.data.layout import lay_out
from gatework.data.panel import Panel
from gatework.data.roles import Roles
from gatework.data.rows import Rows, gather, in_order, join
from gatework.data.source import Source, open_source
from gatework.data.values import Covariate
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
