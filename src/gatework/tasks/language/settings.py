"""Settings of a language model's network and training: the usual ones, left open where the preset decides, and more."""

from __future__ import annotations

from pydantic import Field

from gatework.tasks.text.network import TextNetwork
from gatework.train.settings import Optimiser, Schedule, Training


class LanguageNetwork(TextNetwork):
    """The network that reads a text from one end; what is left open is chosen by the preset."""

    hidden_size: int | None = Field(
        default=None, ge=1, le=8192, description="units of a recurrent layer; none = chosen"
    )  # type: ignore[assignment]
    num_layers: int | None = Field(default=None, ge=1, le=16, description="recurrent layers; none = chosen")  # type: ignore[assignment]
    embedding_size: int | None = Field(  # type: ignore[assignment]
        default=None, ge=1, le=8192, description="numbers of a token's vector; none = chosen"
    )
    dropout: float | None = Field(  # type: ignore[assignment]
        default=None, ge=0, lt=1, description="share of values dropped between recurrent layers; none = chosen"
    )
    input_dropout: float | None = Field(  # type: ignore[assignment]
        default=None, ge=0, lt=1, description="share of values dropped before the first layer; none = chosen"
    )
    output_dropout: float | None = Field(  # type: ignore[assignment]
        default=None, ge=0, lt=1, description="share of values dropped after the last layer; none = chosen"
    )
    word_dropout: float | None = Field(  # type: ignore[assignment]
        default=None, ge=0, lt=1, description="share of the vocabulary dropped from each batch; none = chosen"
    )
    weight_drop: float | None = Field(  # type: ignore[assignment]
        default=None, ge=0, lt=1, description="share of the recurrent weights dropped; none = chosen"
    )


def _chosen(name: str) -> str:
    """What a setting of the loop means, where it may also be left open."""
    return f"{Training.model_fields[name].description}; none = chosen"


class LanguageTraining(Training):
    """The loop's settings, left open where the preset decides, and those of a stream whose state is carried on."""

    optimiser: Optimiser | None = Field(default=None, description=_chosen("optimiser"))  # type: ignore[assignment]
    schedule: Schedule | None = Field(default=None, description=_chosen("schedule"))  # type: ignore[assignment]
    weight_decay: float | None = Field(default=None, ge=0, le=10, description=_chosen("weight_decay"))  # type: ignore[assignment]
    clip_norm: float | None = Field(default=None, gt=0, description=_chosen("clip_norm"))  # type: ignore[assignment]
    average: float | None = Field(default=None, ge=0, lt=1, description=_chosen("average"))  # type: ignore[assignment]
    patience: int | None = Field(default=None, ge=0, description=_chosen("patience"))  # type: ignore[assignment]
    length: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="tokens of a step, through which the error flows back; the state goes further; none = chosen",
        json_schema_extra={"unit": "tokens"},
    )
    random_lengths: bool | None = Field(default=None, description="vary that length at random; none = chosen")
    activation_penalty: float | None = Field(
        default=None, ge=0, le=1000, description="factor on the mean square of the outputs; none = chosen"
    )
    change_penalty: float | None = Field(
        default=None, ge=0, le=1000, description="factor on the mean square of their changes in time; none = chosen"
    )
