"""What a tagger's data decide: its vocabulary, and the settings that were left open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gatework.data.wording import counted
from gatework.say import say
from gatework.tasks.text.inputs import Inputs
from gatework.tasks.text.lexicon import Lexicon, respelt
from gatework.tasks.text.most_frequent import MostFrequent
from gatework.tasks.text.tagged_set import TaggedSet

if TYPE_CHECKING:
    from gatework.tasks.sequence_tagger import SequenceTaggerConfig

PERCENT = 10  # of the sentences are held out where nothing else is said
_BATCH, _EPOCHS, _RATE = 32, 15, 2e-3


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
    update = {
        "batch_size": training.batch_size or _BATCH,
        "learning_rate": training.learning_rate or _RATE,
        "max_epochs": training.max_epochs or (None if training.max_steps else _EPOCHS),
    }
    return config.model_copy(
        update={
            "members": config.members or 1,
            "holdout": PERCENT if config.holdout is None else config.holdout,
            "refit": config.refit or "never",
            "crf": crf,
            "tags": config.tags.model_copy(update={"scheme": dataset.scheme, "inside": inside}),
            "model": model,
            "training": training.model_copy(update=update),
        }
    )


def learn(config: SequenceTaggerConfig, dataset: TaggedSet) -> Lexicon:
    """Words of the training part, and the tags of both parts."""
    train, given = dataset.train, dataset.scheme
    inside = given if dataset.plain else config.tags.inside
    every = dataset.part(whole=True).tags or []
    inputs = Inputs.learn(train.sentences, config.model, lower=config.lower, zeros=config.zeros, least=config.least)
    names = sorted({tag for own in every for tag in respelt(own, given, inside)})
    return Lexicon(inputs, tuple(names), given, inside, MostFrequent.of(train.sentences, train.tags or []))
