"""Settings of a classifier's data and network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from gatework.tasks.base import path_of
from gatework.tasks.text.network import TwoWayNetwork
from gatework.train.settings import Schedule, Training

if TYPE_CHECKING:
    from gatework.data.text import Documents


_ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet", ".txt", ".gz", ".xz")


class Found(NamedTuple):
    """The columns that a fit had; None where its data had none."""

    text_column: str | None = None
    label_column: str | None = None


class LabelledText(BaseModel):
    """Where texts and labels stand."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text_column: str | None = Field(default=None, description="column of the texts; none = found")
    label_column: str | None = Field(default=None, description="column of the labels; none = found")
    label_separator: str | None = Field(
        default=None, description="what stands between several labels in a cell; none = a cell is one label"
    )

    def read(
        self, source: Any, like: Documents | Found | None = None, labelled: bool = True, argument: str = "data"
    ) -> Documents:
        """The texts of `source`.

        Args:
            source: as `read_documents` takes it; without labels also a text itself, which has a blank and names no
                file.
            like: texts of the fit, whose columns are looked for; None = this is the fit, so two classes are expected.
            labelled: whether labels are read.
            argument: what `source` is called in messages.
        """
        from gatework.data.text import read_documents

        if not labelled and isinstance(source, str) and _is_text(source):
            source = [source]
        text = self.text_column or (None if like is None else like.text_column)
        label = self.label_column or (None if like is None else like.label_column)
        least = 2 if like is None else 1
        return read_documents(source, text, label, labelled, self.label_separator, least, argument)


def _is_text(source: str) -> bool:
    """Whether a string is a text rather than a file, be that one there or mistyped."""
    return path_of(source) is None and any(map(str.isspace, source)) and not source.lower().endswith(_ENDINGS)


class Tokenising(BaseModel):
    """What texts are cut into."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: Literal["word", "subword", "char"] = Field(default="word", description="what texts are cut into")
    vocabulary_size: int | None = Field(
        default=None,
        ge=5,
        le=1_000_000,
        description="tokens at most, the most frequent; none = 30000 words, 8000 subwords",
    )
    least: int = Field(default=2, ge=1, description="times a token must occur to have a vector of its own")
    lower: bool = Field(default=True, description="read texts in small letters")
    longest: int = Field(
        default=400,
        ge=4,
        le=100_000,
        description="of a longer text the beginning (a quarter) and the end are read",
        json_schema_extra={"unit": "tokens"},
    )


class ClassifierNetwork(TwoWayNetwork):
    """The network's shape."""

    hidden_size: int | None = Field(  # type: ignore[assignment]
        default=None, ge=1, le=8192, description="units of a recurrent layer and direction; none = chosen"
    )
    embedding_size: int = Field(default=128, ge=1, le=8192, description="numbers of a token's vector")
    input_dropout: float | None = Field(  # type: ignore[assignment]
        default=None, ge=0, lt=1, description="share of values dropped before the first layer; none = chosen"
    )
    output_dropout: float | None = Field(  # type: ignore[assignment]
        default=None, ge=0, lt=1, description="share of values dropped after the last layer; none = chosen"
    )
    word_dropout: float | None = Field(  # type: ignore[assignment]
        default=None, ge=0, lt=1, description="share of the vocabulary dropped from each batch; none = chosen"
    )
    character_filters: int | None = Field(  # type: ignore[assignment]
        default=None,
        ge=0,
        le=4096,
        description="numbers read from each word's spelling, for each width; 0 = none, none = chosen",
    )
    character_widths: tuple[Annotated[int, Field(ge=1, le=32)], ...] | None = Field(  # type: ignore[assignment]
        default=None,
        description="characters that a filter sees at once; none = chosen",
        json_schema_extra={"unit": "characters"},
    )
    pooling: Literal["auto", "attention", "mean", "max", "last", "concat"] = Field(
        default="auto",
        description="how words become one vector; concat = last, max and mean; auto = attention, concat with transfer",
    )
    head_size: int = Field(default=0, ge=0, le=8192, description="units of a layer after the pooling; 0 = none")
    head_dropout: float = Field(default=0.2, ge=0, lt=1, description="share of values dropped after the pooling")


class ClassifierTraining(Training):
    """The loop's settings."""

    schedule: Schedule | None = Field(  # type: ignore[assignment]
        default=None, description=f"{Training.model_fields['schedule'].description}; none = slanted with transfer"
    )
