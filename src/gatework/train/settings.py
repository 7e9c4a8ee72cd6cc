"""How a training run is set: one model, validated before anything starts; the same fields on every application."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Optimiser = Literal["adamw", "sgd", "nt-asgd"]
Schedule = Literal["one-cycle", "cosine", "constant", "slanted"]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(value: object) -> object:
    """`"90"`, `"90s"`, `"10m"`, `"1.5h"` -> seconds; anything else is handed on for pydantic to judge."""
    if isinstance(value, str):
        text = value.strip().lower()
        unit = _UNITS.get(text[-1:])
        number = text[:-1] if unit else text
        try:
            return float(number) * (unit or 1.0)
        except ValueError:
            raise ValueError(
                "a duration is a number of seconds, or a number with s, m or h, such as 90s, 10m, 1.5h"
            ) from None
    return value


Duration = Annotated[float, BeforeValidator(seconds)]


class Training(BaseModel):
    """The loop's settings; where none means that the application chooses, it does so from the data and says it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(
        default=0,
        ge=0,
        le=2_147_483_647,
        description="seed of every random choice; the same seed gives the same weights",
    )
    batch_size: int | None = Field(default=None, ge=1, le=65536, description="examples in a step; none = chosen")
    learning_rate: Annotated[float, Field(gt=0, le=100)] | Literal["auto"] | None = Field(
        default=None,
        description="peak of the schedule; auto = found by a sweep before training, kept as a plot; none = chosen",
    )
    optimiser: Optimiser = Field(
        default="adamw",
        description="sgd has no momentum; nt-asgd is sgd whose weights are averaged from the validation on that is no "
        "better than 5 before, and patience counts from there",
    )
    schedule: Schedule = Field(
        default="one-cycle",
        description="shape of the learning rate over the run; slanted = straight up for a tenth, then straight down",
    )
    weight_decay: float = Field(
        default=0.01,
        ge=0,
        le=10,
        description="decay on matrices alone: decoupled in adamw, added to the gradient in sgd",
    )
    clip_norm: float = Field(default=1.0, gt=0, description="gradients are scaled down to this norm")
    average: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="decay a step of an exponential average of the weights, which is then validated and kept; 0 = off",
    )
    max_epochs: int | None = Field(
        default=None, ge=1, le=100_000, description="epochs at most; none = as many as the steps make"
    )
    max_steps: int | None = Field(
        default=None, ge=1, description="steps at most; none = chosen, or where epochs are given as many as they hold"
    )
    steps_per_epoch: int | None = Field(
        default=None, ge=1, description="steps between two validations; none = chosen, in text a pass"
    )
    patience: int = Field(
        default=5, ge=0, description="epochs without a better validation score before stopping; 0 = never stop early"
    )
    keep: Literal["best", "last"] = Field(
        default="best", description="weights kept of a run that was not stopped early: the best validated, or the last"
    )
    time_limit: Duration | None = Field(
        default=None,
        gt=0,
        description="seconds for the whole fit (90, 90s, 10m, 1h); the schedule shrinks to fit; none = no limit",
    )
    precision: Literal["32-true", "bf16-mixed"] = Field(default="32-true", description="arithmetic of the forward pass")
    deterministic: bool = Field(
        default=True, description="refuse operations whose result depends on the order of threads"
    )
    checkpoint_seconds: Duration = Field(
        default=30.0, ge=0, description="seconds between two saves of the exact state; 0 = after every step"
    )

    @model_validator(mode="after")
    def _one_average(self) -> Training:
        if self.average and self.optimiser == "nt-asgd":
            raise ValueError(f"nt-asgd averages the weights itself; leave average at 0 (it is {self.average})")
        return self
