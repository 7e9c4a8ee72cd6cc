"""What a tagger's data decide: its vocabulary, and the settings that were left open."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gatework.data.text import learn_vocabulary
from gatework.data.wording import counted
from gatework.say import say
from gatework.tasks.text.inputs import Inputs
from gatework.tasks.text.lexicon import Lexicon, respelt
from gatework.tasks.text.most_frequent import MostFrequent
from gatework.tasks.text.shapes import shapes_of
from gatework.tasks.text.tagged_set import TaggedSet
from gatework.tasks.text.transfer import Origin

if TYPE_CHECKING:
    from gatework.tasks.sequence_tagger import SequenceTaggerConfig

PERCENT = 10  # of the sentences are held out where nothing else is said
_BATCH, _SMALL_BATCH = 32, 8  # sentences of a step: of many sentences, of few
_FEW = 2000  # sentences
_EPOCHS, _LEAST_STEPS = 12, 600
_RATE = 3e-3
_MOST_WORDS, _LEAST = 50_000, 2  # words of a language model, and times that one must come


def choose(config: SequenceTaggerConfig, dataset: TaggedSet) -> SequenceTaggerConfig:
    """The settings with everything decided, and said."""
    training, model, entities = config.training, config.model, not dataset.plain
    crf = entities if config.crf == "auto" else config.crf
    if config.crf == "auto":
        say(
            "tags that spell entities are learned as sequences (CRF)"
            if crf
            else "each token's tag is learned by itself"
        )
    inside = config.tags.inside
    if inside == "auto":
        inside = "BIOES"
        if entities and dataset.scheme != inside:
            say(f"the network's tags are {inside}, which marks where entities end; answers are {dataset.scheme}")
    if model.character_filters and all(len(word) == 1 for words in dataset.train.sentences for word in words):
        say("every token is a single character: spelling is not read")
        model = model.model_copy(update={"character_filters": 0})
    if dataset.held is not None:
        say(f"held out to score with: {counted(len(dataset.held), 'sentence')}")
    tags = {"scheme": dataset.scheme, "inside": inside, "letters": dataset.train.letters}
    batch = training.batch_size or (_BATCH if len(dataset.train) >= _FEW else _SMALL_BATCH)
    steps = math.ceil(len(dataset.train) / batch)
    epochs = training.max_epochs or (None if training.max_steps else max(_EPOCHS, math.ceil(_LEAST_STEPS / steps)))
    update = {"batch_size": batch, "learning_rate": training.learning_rate or _RATE, "max_epochs": epochs}
    return config.model_copy(
        update={
            "members": config.members or 1,
            "holdout": PERCENT if config.holdout is None else config.holdout,
            "refit": config.refit or "never",
            "crf": crf,
            "lower": bool(model.character_filters) if config.lower == "auto" else config.lower,
            "tags": config.tags.model_copy(update=tags),
            "model": model,
            "training": training.model_copy(update=update),
        }
    )


def learn(config: SequenceTaggerConfig, dataset: TaggedSet) -> Lexicon:
    """Words of the training part, the tags of both parts, and the language models to begin from."""
    train, given = dataset.train, dataset.scheme
    inside = given if dataset.plain else config.tags.inside
    every = dataset.part(whole=True).tags or []
    inputs = Inputs.learn(
        train.sentences, config.model, lower=bool(config.lower), zeros=config.zeros, least=config.least
    )
    names = sorted({tag for own in every for tag in respelt(own, given, inside)})
    usual = MostFrequent.of(train.sentences, train.tags or [])
    shapes = shapes_of(train.sentences) if config.model.shape_size else ()
    return Lexicon(inputs, tuple(names), given, inside, usual, shapes, _origin(config, dataset))


def _origin(config: SequenceTaggerConfig, dataset: TaggedSet) -> Origin | None:
    """The language models of the runs that are named, or those to be trained first; they cut the same texts."""
    transfer = config.transfer
    if not transfer.asked:
        return None
    if transfer.pretrained:
        return Origin.open(transfer.pretrained, transfer)
    texts = dataset.texts
    words = learn_vocabulary("word", texts, _MOST_WORDS, _LEAST, tokenise="words" if dataset.unlabelled else "spaces")
    return Origin.planned(words, config.model, transfer, texts, dataset.held is not None)
