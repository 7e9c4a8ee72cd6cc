"""What a classifier decides from its data where a setting is left open; every decision is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gatework.data.text import Documents, Vocabulary, learn_vocabulary
from gatework.data.wording import counted
from gatework.errors import ConfigError
from gatework.say import say
from gatework.tasks.classification.calibration import Calibration
from gatework.tasks.classification.classes import Classes
from gatework.tasks.classification.fitted import FittedClassifier
from gatework.tasks.classification.parts import Parts
from gatework.tasks.classification.settings import ClassifierNetwork, Found, Tokenising
from gatework.tasks.text.inputs import Inputs, learn_characters
from gatework.tasks.text.network import opened
from gatework.tasks.text.transfer import Origin, Transfer, taken_over
from gatework.train.settings import Training
from gatework.train.stretches import span

if TYPE_CHECKING:
    from gatework.tasks.text_classifier import TextClassifierConfig

PERCENT = 10
"""Of the texts are held out where nothing else is said."""

_SUBWORDS, _FEWEST_SUBWORDS, _CHARACTERS_A_SUBWORD = 8000, 100, 100
_WORDS = 30_000
_TEXTS = 60_000  # read in training, by which the epochs of small and large data are chosen
_FEWEST, _MOST = 4, 40  # epochs
_LARGE = 20_000  # texts from which on words are seen often enough to be learned without their spelling
_SHORT = 14  # words in the mean; in shorter texts each counts, so few are dropped
_SPELLING: dict[str, Any] = {"character_filters": 50, "character_widths": (3,)}
_SHORT_SPELLING: dict[str, Any] = {"character_filters": 20, "character_widths": (2, 3, 4)}
_NOT_IN_TRANSFER = ("transformer", "vectors", "character_filters")
_SIZE = 128
_BATCH, _RATE, _SHORT_RATE = 32, 2e-3, 3e-3


def choose(config: TextClassifierConfig, parts: Parts, classes: Classes) -> tuple[FittedClassifier, Origin | None]:
    """A classifier with everything decided but its weights and its calibration, and what it begins from."""
    transfer, model = config.transfer, config.model
    origin = _origin(config, parts)
    words = vocabulary(config.words, parts.every_text) if origin is None else origin.vocabulary
    if origin is not None:
        transfer = transfer.model_copy(update={"direction": origin.direction})
        model = _taken_over(model, origin)
    model = _network(model, parts.train, words, origin is not None)
    characters = None
    if model.character_filters:
        characters = learn_characters([words.pieces(text) for text in parts.train.texts], model)
    config = config.model_copy(
        update={
            "kind": classes.kind,
            "model": model,
            "transfer": transfer,
            "members": _members(config.members, transfer),
            "holdout": PERCENT if config.holdout is None else config.holdout,
            "refit": config.refit or "never",
            "training": _training(config, parts.train),
        }
    )
    held = "nothing held out" if parts.held is None else f"{len(parts.held)} held out"
    size = f"{len(words)} {words.kind} tokens"
    say(f"{counted(len(parts.train), 'text')} to train on, {held}; {size}; {counted(config.members or 1, 'network')}")
    fitted = FittedClassifier(
        config,
        classes,
        Inputs(words, characters, transformer=opened(model)),
        Calibration.none(len(classes) if classes.several else 0),
        None if origin is None else origin.last_size,
        Found(parts.train.text_column, parts.train.label_column),
        parts.given.data_hash(),
    )
    return fitted, origin


def _network(
    model: ClassifierNetwork, documents: Documents, vocabulary: Vocabulary, transfer: bool
) -> ClassifierNetwork:
    """The network's settings: one that begins from nothing is held back more than one that has read much.

    The figures are the best of those tried on parts of the training data of public corpora: SST-2, TREC, IMDb.
    """
    few, short = len(documents) < _LARGE, _short(documents)
    chosen: dict[str, Any]
    if short:
        chosen = {"input_dropout": 0.3, "output_dropout": 0.5, "word_dropout": 0.1}
    else:
        chosen = {"input_dropout": 0.5, "output_dropout": 0.5, "word_dropout": 0.5 if few and not transfer else 0.3}
    spelling, filters = _SHORT_SPELLING if short else _SPELLING, model.character_filters
    if filters is None and (transfer or not few or vocabulary.kind != "word"):
        filters = 0
    chosen |= {"character_filters": 0} if filters == 0 else spelling
    chosen["hidden_size"] = _SIZE
    update = {name: value for name, value in chosen.items() if getattr(model, name) is None}
    if model.pooling == "auto":
        update["pooling"] = "concat" if transfer else "attention"
    return model.model_copy(update=update)


def _taken_over(model: ClassifierNetwork, origin: Origin) -> ClassifierNetwork:
    """The settings with those of the language model; ConfigError for others that were given."""
    taken, usual = taken_over(model, origin.network), ClassifierNetwork()
    for name, value in taken.items():
        if getattr(model, name) not in (getattr(usual, name), value):
            raise ConfigError(
                f"{name} is {getattr(model, name)!r}, but the network is that of the language model, where it is "
                f"{value!r}; leave it out."
            )
    return model.model_copy(update=taken)


def _short(documents: Documents) -> bool:
    return sum(len(text.split()) for text in documents.texts) < _SHORT * len(documents)


def vocabulary(settings: Tokenising, texts: Sequence[str]) -> Vocabulary:
    """Of the texts to train on, as the settings say."""
    size = settings.vocabulary_size
    if settings.tokens == "subword" and size is None:
        size = min(_SUBWORDS, max(sum(map(len, texts)) // _CHARACTERS_A_SUBWORD, _FEWEST_SUBWORDS))
    word = settings.tokens == "word"
    found = learn_vocabulary(
        settings.tokens,
        texts,
        size=size or (_WORDS if word else None),
        least=settings.least if word else 1,
        lower=settings.lower,
    )
    if size is None and word and len(found) == _WORDS:
        say(f"the {_WORDS} most frequent words are told apart, the others are one")
    return found


def _origin(config: TextClassifierConfig, parts: Parts) -> Origin | None:
    """The language models to begin from: those of the runs that are named, or those to be trained first."""
    transfer = config.transfer
    for name in _NOT_IN_TRANSFER:
        if transfer.asked and getattr(config.model, name):
            raise ConfigError(
                f"{name} is {getattr(config.model, name)!r}, but with pretrain or pretrained the network is that of "
                "the language model, which has none; leave out one of them."
            )
    if transfer.pretrained:
        return Origin.open(transfer.pretrained, transfer)
    if not transfer.pretrain:
        return None
    words = vocabulary(config.words, parts.every_text)
    return Origin.planned(words, config.model, transfer, parts.every_text, parts.held is not None)


def _training(config: TextClassifierConfig, documents: Documents) -> Training:
    """The loop's settings: epochs by the size of the data, and in transfer the slanted schedule."""
    training = config.training
    batch = training.batch_size or _BATCH
    update: dict[str, Any] = {"batch_size": batch}
    rate = _SHORT_RATE if _short(documents) else _RATE
    update["learning_rate"] = training.learning_rate or rate
    if training.max_epochs is None and training.max_steps is None:
        passes = min(max(round(_TEXTS / len(documents)), _FEWEST), _MOST)
        update |= span(training, passes, -(-len(documents) // batch))
    if training.schedule is None:
        update["schedule"] = "slanted" if config.transfer.asked else Training().schedule
    return training.model_copy(update=update)


def _members(members: int | None, transfer: Transfer) -> int:
    """How many networks: with both directions the same number of each."""
    each = len(transfer.directions) if transfer.asked else 1
    members = members or each
    if members % each:
        raise ConfigError(
            f"members is {members}, but half of the networks read forward and half backward; expected an even number."
        )
    return members
