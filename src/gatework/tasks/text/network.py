"""The settings of the networks that read text, and the `Backbone` that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gatework.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gatework.nn import Backbone
    from gatework.tasks.text.transformer import Transformer


# settings that are arguments of `Backbone` by the same name
_SAME = (
    *("cell", "hidden_size", "num_layers", "attention_under", "attention_over", "heads", "attention_window"),
    *("dropout", "input_dropout", "output_dropout", "word_dropout", "weight_drop", "recurrent_dropout", "zoneout"),
)


class TextNetwork(BaseModel):
    """The network that reads text in one direction."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cell: str = Field(default="lstm", description="recurrent cell, by its name in the catalogue (`gatework cells`)")
    hidden_size: int = Field(default=256, ge=1, le=8192, description="units of a recurrent layer and direction")
    num_layers: int = Field(default=1, ge=1, le=16, description="recurrent layers")
    embedding_size: int = Field(default=128, ge=1, le=8192, description="numbers of a token's vector")
    vectors: str | None = Field(
        default=None,
        description="file of word vectors to start from (GloVe, word2vec or fastText text, .gz too); none = learned",
        json_schema_extra={"unit": "path"},
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="share of values dropped between recurrent layers")
    input_dropout: float = Field(default=0.0, ge=0, lt=1, description="share of values dropped before the first layer")
    output_dropout: float = Field(default=0.0, ge=0, lt=1, description="share of values dropped after the last layer")
    word_dropout: float = Field(default=0.0, ge=0, lt=1, description="share of the vocabulary dropped from each batch")
    weight_drop: float = Field(default=0.0, ge=0, lt=1, description="share of the recurrent weights dropped")
    recurrent_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share dropped of what is written into the memory, anew at every step"
    )
    zoneout: float = Field(default=0.0, ge=0, lt=1, description="share of the units that keep their state at a step")
    character_filters: int = Field(
        default=0, ge=0, le=4096, description="numbers read from each word's spelling, for each width; 0 = none"
    )
    character_size: int = Field(default=30, ge=1, le=1024, description="numbers of a character's vector")
    character_widths: tuple[Annotated[int, Field(ge=1, le=32)], ...] = Field(
        default=(3,), description="characters that a filter sees at once", json_schema_extra={"unit": "characters"}
    )
    attention_under: int = Field(default=0, ge=0, le=16, description="self-attention layers under the recurrent ones")
    attention_over: int = Field(default=0, ge=0, le=16, description="self-attention layers over the recurrent ones")
    heads: int = Field(default=4, ge=1, le=64, description="heads of a self-attention layer")
    attention_window: int = Field(
        default=128,
        ge=1,
        le=8192,
        description="steps that self-attention looks back where it may not look ahead",
        json_schema_extra={"unit": "tokens"},
    )
    transformer: str | None = Field(
        default=None,
        description="folder of a transformer (config.json, weights, tokenizer) whose features stand beside the "
        "token vectors; none = without",
        json_schema_extra={"unit": "path"},
    )
    fine_tune: bool = Field(default=False, description="train the transformer too; false = it stays as it is")

    @model_validator(mode="after")
    def _widths(self) -> TextNetwork:
        if self.character_filters and self.character_widths == ():
            raise ValueError("character_widths must have a width where character_filters is above 0")
        return self


class TwoWayNetwork(TextNetwork):
    """The network that reads text, from both ends unless it is told otherwise."""

    bidirectional: bool = Field(default=True, description="read each text from both ends")


def backbone(
    settings: TextNetwork,
    tokens: int,
    characters: int = 0,
    *,
    bidirectional: bool | None = None,
    reverse: bool = False,
    last_size: int | None = None,
    vectors: Tensor | None = None,
    transformer: Transformer | None = None,
    features: nn.Module | None = None,
) -> Backbone:
    """The network of the settings.

    Args:
        settings: `TextNetwork` or what is derived from it.
        tokens: size of the vocabulary.
        characters: size of the vocabulary of characters; not used where `character_filters` is 0.
        bidirectional: read from both ends; None = as the settings say, which for `TextNetwork` is no.
        reverse: read from the last token to the first, see `Backbone`.
        last_size: units of the last recurrent layer; None = `hidden_size`.
        vectors: token vectors to start from, as `start_vectors` gives them; None where weights are loaded afterwards.
        transformer: the opened `settings.transformer`; None opens it.
        features: a module as `Backbone` takes it, in the place of a transformer.

    Raises:
        ConfigError: the cell is not in the catalogue.
        InputError: a size does not fit the cell, or the transformer's folder cannot be read.
    """
    from gatework.nn import Backbone, CharacterOptions

    spelling = None
    if settings.character_filters:
        spelling = CharacterOptions(
            characters, settings.character_size, settings.character_filters, settings.character_widths
        )
    transformer = transformer or (opened(settings) if features is None else None)
    if transformer is not None:
        features = transformer.features(settings.fine_tune)
    both = getattr(settings, "bidirectional", False) if bidirectional is None else bidirectional
    given = {name: getattr(settings, name) for name in _SAME}
    return Backbone(
        tokens,
        settings.embedding_size,
        bidirectional=both,
        last_size=last_size,
        reverse=reverse,
        characters=spelling,
        features=features,
        vectors=vectors,
        **given,
    )


def opened(settings: TextNetwork) -> Transformer | None:
    """The transformer of the settings, if they name one.

    Raises:
        InputError: `transformers` is not installed, or the folder is missing or holds no model.
    """
    if settings.transformer is None:
        if settings.fine_tune:
            raise InputError("fine_tune is true, but no transformer is named; set transformer to its folder.")
        return None
    from gatework.tasks.text.transformer import Transformer

    return Transformer(settings.transformer)


def start_vectors(settings: TextNetwork, words: Sequence[str]) -> Tensor | None:
    """Vectors [V, E] of the file that the settings name, to start from; None where they name none.

    Words that the file lacks are drawn from torch's generator, as widely spread as those that it has.

    Args:
        settings: with `vectors` and `embedding_size`.
        words: the vocabulary in the order of its ids.

    Raises:
        InputError: the file cannot be read, has vectors of another size than `embedding_size`, or none of the words.
    """
    if settings.vectors is None:
        return None
    import torch

    from gatework.data.text import read_vectors

    found, known = read_vectors(settings.vectors, words, settings.embedding_size)
    return torch.where(known.unsqueeze(1), found, found[known].std() * torch.randn_like(found))
