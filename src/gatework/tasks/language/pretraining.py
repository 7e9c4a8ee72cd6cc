"""How a language model is trained that others will begin from: few passes, an output layer that costs little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gatework.tasks.language.recipe import choose
from gatework.tasks.language.settings import LanguageNetwork, LanguageTraining
from gatework.tasks.language_model import LanguageModelConfig
from gatework.tasks.text.network import TextNetwork

if TYPE_CHECKING:
    from gatework.data.text import Vocabulary
    from gatework.tasks.text.transfer import Transfer

_CHARACTERS_A_TOKEN = {"char": 1, "subword": 4, "word": 5}  # about: only the order of size matters
_NETWORK: dict[str, Any] = {
    "hidden_size": 256,
    "num_layers": 1,
    "embedding_size": 128,
    "input_dropout": 0.1,
    "output_dropout": 0.2,
}
# In the few passes that there is time for, AdamW is ahead of SGD.
_LOOP: dict[str, Any] = {"batch_size": 32, "length": 70, "optimiser": "adamw", "weight_decay": 0.01, "clip_norm": 1.0}
_SMALL = 500_000  # tokens up to which the recipe's own smaller steps are better
_TOKENS, _FEWEST_EPOCHS, _MOST_EPOCHS = 12_000_000, 2, 20  # tokens read in pre-training, by which epochs are chosen
_MANY = 10_000  # words from which on the output layer is an adaptive softmax
_FURTHER_EPOCHS, _FURTHER_RATE = 3, 0.3  # of a language model that is trained further on the texts of the data


def language_settings(
    own: TextNetwork, transfer: Transfer, vocabulary: Vocabulary, texts: Sequence[str], held: bool
) -> LanguageModelConfig:
    """Settings of a language model that is trained first, every one decided.

    Args:
        own: the network that will take its weights: its cell, and its sizes where they are not the usual ones.
        transfer: says how long to train.
        vocabulary: of the texts; many words are predicted by an adaptive softmax, or it would take most of the time.
        texts: to train on.
        held: whether a part is held out.
    """
    tokens = sum(map(len, texts)) // _CHARACTERS_A_TOKEN[vocabulary.kind]
    usual = type(own)()
    names: tuple[str, ...] = ("cell", "hidden_size", "num_layers", "embedding_size")
    names += ("attention_under", "attention_over", "heads", "attention_window")
    given = {name: getattr(own, name) for name in names if getattr(own, name) != getattr(usual, name)}
    epochs = transfer.pretrain_epochs or min(max(round(_TOKENS / tokens), _FEWEST_EPOCHS), _MOST_EPOCHS)
    loop: dict[str, Any] = _LOOP if tokens > _SMALL else {}
    config = LanguageModelConfig(
        tokens=vocabulary.kind,  # type: ignore[arg-type]
        direction=transfer.directions[0],
        softmax="adaptive" if len(vocabulary) > _MANY else "full",
        model=LanguageNetwork(**{**_NETWORK, **given}),
        training=LanguageTraining(max_epochs=epochs, **loop),
    )
    return choose(config, vocabulary.kind, tokens, held)


def further(language: LanguageModelConfig, transfer: Transfer) -> LanguageModelConfig:
    """Settings to train a finished language model further: its own, for fewer epochs at a lower rate."""
    rate = language.training.learning_rate
    update = {
        "max_epochs": transfer.pretrain_epochs or _FURTHER_EPOCHS,
        "max_steps": None,
        "schedule": "slanted",
        "learning_rate": rate if rate == "auto" or rate is None else _FURTHER_RATE * rate,
    }
    return language.model_copy(update={"training": language.training.model_copy(update=update)})
