"""What a tagger's data decide: its vocabulary, and the settings that were left open."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gatework.data.text import learn_vocabulary
from gatework.data.wording import counted
from gatework.say import say
from gatework.tasks.tagging.lexicon import Lexicon, respelt
from gatework.tasks.tagging.most_frequent import MostFrequent
from gatework.tasks.tagging.settings import PERCENT
from gatework.tasks.tagging.tagged_set import TaggedSet
from gatework.tasks.text.inputs import Inputs
from gatework.tasks.text.marks import learn_marks
from gatework.tasks.text.transfer import Origin
from gatework.train.stretches import span

if TYPE_CHECKING:
    from gatework.tasks.sequence_tagger import SequenceTaggerConfig, TaggerNetwork
    from gatework.train.settings import Training

_EPOCHS, _LEAST_STEPS, _RATE = 12, 600, 3e-3
_ENTITIES = {
    "input_dropout": 0.5,
    "word_dropout": 0.1,
    "mark_size": 10,
}  # few words are in entities: soon learned by heart
_PLAIN = {"input_dropout": 0.3, "word_dropout": 0.0, "mark_size": 0}
_UNKNOWN = {True: 0.5, False: 0.3}  # of words seen once, where tags spell entities and where not
_MOST_WORDS, _LEAST = 50_000, 2  # words of a language model, and times that one must come


def choose(config: SequenceTaggerConfig, dataset: TaggedSet) -> SequenceTaggerConfig:
    """The settings with everything decided, and said."""
    entities, inside = not dataset.plain, config.tags.inside
    if dataset.held is not None:
        say(f"held out to score with: {counted(len(dataset.held), 'sentence')}")
    if config.crf == "auto":
        say("entities: tags are learned as sequences (CRF)" if entities else "each tag is learned by itself (no CRF)")
    if inside == "auto" and entities:
        inside = "BIOES"
        if dataset.scheme != inside:
            say(f"the network's tags are {inside}, which marks where entities end; answers are {dataset.scheme}")
    model = _network(config.model, dataset)
    tags = {"scheme": dataset.scheme, "inside": inside, "letters": dataset.train.letters}
    return config.model_copy(
        update={
            "members": config.members or 1,
            "holdout": PERCENT if config.holdout is None else config.holdout,
            "refit": config.refit or "never",
            "crf": entities if config.crf == "auto" else config.crf,
            "unknown": _UNKNOWN[entities] if config.unknown is None else config.unknown,
            "lower": bool(model.character_filters) if config.lower == "auto" else config.lower,
            "tags": config.tags.model_copy(update=tags),
            "model": model,
            "training": _training(config.training, dataset),
        }
    )


def _network(model: TaggerNetwork, dataset: TaggedSet) -> TaggerNetwork:
    """Dropouts by the kind of tags; no spelling of single characters."""
    chosen = _PLAIN if dataset.plain else _ENTITIES
    update = {name: value for name, value in chosen.items() if getattr(model, name) is None}
    if all(len(word) == 1 for words in dataset.train.sentences for word in words):
        say("every token is a single character: spelling is not read")
        update |= {"character_filters": 0, "mark_size": 0}
    return model.model_copy(update=update)


def _training(training: Training, dataset: TaggedSet) -> Training:
    """Small batches of few sentences, and epochs that make enough steps."""
    sentences = len(dataset.train)
    batch = training.batch_size or (8 if sentences < 2000 else 16 if sentences < 10_000 and not dataset.plain else 32)
    steps = math.ceil(sentences / batch)
    update: dict[str, Any] = {"batch_size": batch, "learning_rate": training.learning_rate or _RATE}
    if training.max_epochs is None and training.max_steps is None:
        update |= span(training, max(_EPOCHS, math.ceil(_LEAST_STEPS / steps)), steps)
    return training.model_copy(update=update)


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
    marks = learn_marks(train.sentences) if config.model.mark_size else ()
    return Lexicon(inputs, tuple(names), given, inside, usual, marks, _origin(config, dataset))


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
