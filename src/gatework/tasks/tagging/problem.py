"""What trains a tagger: sentences of like length in a batch, scored by F1 of entities or accuracy of tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from gatework.data.text import Buckets, Tagged
from gatework.data.text.schemes import PLAIN
from gatework.tasks.tagging.decoding import best_tags
from gatework.tasks.tagging.lexicon import Lexicon
from gatework.tasks.tagging.network import TaggerNet, tagger_loss
from gatework.tasks.tagging.report import accuracy, span_f1
from gatework.tasks.text.network import backbone, start_vectors
from gatework.tasks.text.side_features import LanguageFeatures, SideFeatures
from gatework.tasks.text.transfer import groups
from gatework.train.problem import Problem

if TYPE_CHECKING:
    from gatework.tasks.sequence_tagger import SequenceTaggerConfig


def tagging_problem(
    config: SequenceTaggerConfig,
    lexicon: Lexicon,
    train: Tagged,
    held: Tagged | None,
    seed: int,
    prepared: Sequence[nn.Module] = (),
) -> Problem:
    """A fresh tagger and what trains it.

    Args:
        config: every setting decided.
        lexicon: words, tags, and language models to begin from.
        train: tagged sentences, none of them empty.
        held: those that decide which weights are kept; None keeps the last.
        seed: of the order.
        prepared: networks of the language models, where they have just been trained.
    """
    words, tags = lexicon.encode(train.sentences), lexicon.numbers(train.tags or [])
    plain = lexicon.given == PLAIN

    def batch(numbers: Tensor) -> dict[str, Tensor]:
        return {**words.batch(numbers), "tags": tags.batch(numbers)[0]}

    validate = None
    if held is not None:
        truth, unseen = held.tags or [], lexicon.encode(held.sentences)

        def validate(net: nn.Module) -> dict[str, float]:
            found = best_tags([net], lexicon, unseen)
            return {"accuracy": accuracy(truth, found)} if plain else {"F1": span_f1(truth, found, lexicon.given)}

    once = torch.bincount(words.own.ids.flat, minlength=len(lexicon.inputs.words)) == 1
    net = tagger(config, lexicon, once, start_vectors(config.model, lexicon.inputs.words.tokens))
    levels = None
    if lexicon.origin is not None:
        for number, reader in enumerate(net.backbone.features.language.readers):  # type: ignore[arg-type, union-attr]
            lexicon.origin.hand_over(reader, number, prepared)
        levels = groups(net.levels(), config.transfer.rate_factor, config.transfer.gradual)
    return Problem(
        net,
        tagger_loss,
        Buckets(words.lengths, config.training.batch_size or 1, seed),
        batch,
        validate,
        "accuracy" if plain else "F1",
        "sentences",
        "larger",
        groups=levels,
    )


def tagger(
    config: SequenceTaggerConfig, lexicon: Lexicon, once: Tensor | None = None, vectors: Tensor | None = None
) -> TaggerNet:
    """An untrained network: `once` are the words [V] that occur once, `vectors` [V, E] where word vectors start."""
    inputs, features = lexicon.inputs, _beside(config, lexicon)
    body = backbone(config.model, *inputs.sizes(), vectors=vectors, features=features)
    return TaggerNet(body, lexicon, bool(config.crf), config.unknown or 0.0, once)


def _beside(config: SequenceTaggerConfig, lexicon: Lexicon) -> SideFeatures | None:
    """What stands beside the word vectors, untrained; None for nothing."""
    origin, transformer, marks = lexicon.origin, lexicon.inputs.transformer, lexicon.marks
    if origin is None and transformer is None and not marks:
        return None
    return SideFeatures(
        (len(marks), config.model.mark_size or 1) if marks else None,
        transformer.features(config.model.fine_tune) if transformer else None,
        LanguageFeatures([origin.reader(number) for number in range(len(origin.directions))]) if origin else None,
    )
