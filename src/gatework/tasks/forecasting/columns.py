"""Settings that say what the columns of a table mean, for every application that reads series from tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from gatework.data import Panel


class Columns(BaseModel):
    """What the columns of the table mean; what is not given is inferred and said."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: tuple[str, ...] | None = Field(default=None, description="columns to forecast; several are as many series")
    id_column: str | None = Field(default=None, description="column that tells series apart")
    time_column: str | None = Field(default=None, description="column of dates or whole numbers")
    past_covariates: tuple[str, ...] = Field(default=(), description="columns known up to the present")
    future_covariates: tuple[str, ...] = Field(default=(), description="columns known for the steps to forecast too")
    static_covariates: tuple[str, ...] = Field(default=(), description="columns with one value for each series")
    freq: str | None = Field(
        default=None, description="step between rows, as pandas writes it: h, D, W, MS; none = inferred"
    )
    season: int | None = Field(
        default=None, ge=1, description="rows in a season, 1 for no season; none = from the frequency"
    )
    drop_short: bool = Field(
        default=False, description="leave out series that are too short instead of refusing the data"
    )

    def read(self, data: Any) -> Panel:
        """The series in `data` (a frame or a path); raises InputError for what cannot be used."""
        from gatework.data import read

        given = self.model_dump(exclude={"drop_short", "target"})
        target = self.target[0] if self.target is not None and len(self.target) == 1 else self.target
        return read(data, target=target, **given)
