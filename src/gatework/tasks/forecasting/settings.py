"""Settings of the forecaster's network."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Network(BaseModel):
    """The network's shape."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: str = Field(default="lstm", description="recurrent cell, by its name in the catalogue (`gatework cells`)")
    hidden_size: int | None = Field(default=None, ge=1, le=4096, description="units of a layer; none = chosen")
    num_layers: int = Field(default=1, ge=1, le=16, description="recurrent layers")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="share of values dropped between layers in training")
    segment: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="rows that the network reads and writes at once; auto = from the seasons"
    )
    log: bool | Literal["auto"] = Field(
        default="auto", description="work on logarithms; auto = where every value is clearly positive"
    )
    centre: Literal["auto", "season", "mean", "last"] = Field(
        default="auto",
        description="what windows are centred on: mean of the last season, mean of all, last value; auto = by size",
    )
