"""What a language model decides from its text where a setting is left open; every decision is said."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gatework.data.wording import counted
from gatework.errors import ConfigError
from gatework.say import say
from gatework.tasks.language.corpus import Corpus
from gatework.train.settings import Training
from gatework.train.stretches import span

if TYPE_CHECKING:
    from gatework.data.text import Vocabulary
    from gatework.tasks.language.settings import LanguageTraining
    from gatework.tasks.language_model import LanguageModelConfig

_UNKNOWN_WORD = "<unk>"
_LONG = 5_000_000  # characters from which on pieces of words are worth their larger output layer
_LOOKED_AT = 1_000_000  # characters of the text that decide the kind of token
_SUBWORDS = 8000
_CHARACTERS_A_SUBWORD = 100  # of text, for each piece that is learned
_SMALL = 100_000  # tokens under which a network is small


@dataclass(frozen=True)
class Recipe:
    """Settings of network and training for one kind of token and one preset."""

    network: dict[str, Any]
    training: dict[str, Any]


_PLAIN_NETWORK: dict[str, Any] = {"input_dropout": 0.0, "word_dropout": 0.0, "weight_drop": 0.0}
_PLAIN_TRAINING: dict[str, Any] = {"random_lengths": False, "activation_penalty": 0.0, "change_penalty": 0.0}
_BUDGET = {"char": 20_000_000, "word": 10_000_000, "subword": 10_000_000}  # tokens that a good model is trained on
_FAST = 0.2  # of that
_MOST_EPOCHS, _LEAST_EPOCHS = 60, 2
_RATES = {"adamw": 0.003, "sgd": 20.0, "nt-asgd": 30.0}

# Merity, Keskar & Socher, arXiv:1708.02182, section 5, for the Penn Treebank.
_AWD = Recipe(
    network={
        "hidden_size": 1150,
        "num_layers": 3,
        "embedding_size": 400,
        "dropout": 0.25,
        "input_dropout": 0.4,
        "output_dropout": 0.4,
        "word_dropout": 0.1,
        "weight_drop": 0.5,
    },
    training={
        "optimiser": "nt-asgd",
        "schedule": "constant",
        "weight_decay": 1.2e-6,
        "clip_norm": 0.25,
        "batch_size": 20,
        "max_epochs": 500,
        "patience": 30,
        "length": 70,
        "random_lengths": True,
        "activation_penalty": 2.0,
        "change_penalty": 1.0,
    },
)


def _good(kind: str, tokens: int, share: float = 1.0) -> Recipe:
    """A network whose size follows the text's, trained over one cycle of the learning rate.

    Characters, and texts of few words, are learned by AdamW. Words in number are learned by SGD with large steps and
    little dropout: a network of 2 x 200 reaches a perplexity of 100 on the validation part of the Penn Treebank in the
    epochs in which AdamW with twice the dropout reaches 131.
    """
    small = tokens < _SMALL
    network: dict[str, Any]
    training: dict[str, Any]
    if kind == "char":
        size = 128 if small else 320
        network = {"hidden_size": size, "num_layers": 1 if small else 2, "embedding_size": 64}
        network |= {"dropout": 0.3, "output_dropout": 0.1 if small else 0.3}
        training = {"clip_norm": 1.0, "length": 100, "batch_size": 8 if small else 16}
    else:
        size = 128 if small else 256
        network = {"hidden_size": size, "num_layers": 1 if small else 2, "embedding_size": size}
        training = {"clip_norm": 0.25, "length": 35, "batch_size": 8 if small else 20}
        if small:
            network |= {"dropout": 0.25, "input_dropout": 0.25, "output_dropout": 0.25}
        else:
            network |= {"dropout": 0.1, "input_dropout": 0.1, "output_dropout": 0.2}
            training |= {"optimiser": "sgd", "weight_decay": 0.0}
    epochs = min(max(round(share * _BUDGET[kind] / tokens), _LEAST_EPOCHS), _MOST_EPOCHS)
    training |= {"average": 0.998, "max_epochs": epochs}
    return Recipe(_PLAIN_NETWORK | network, _PLAIN_TRAINING | training)


def _fast(kind: str, tokens: int) -> Recipe:
    """One layer, half as wide, on a fifth of the tokens."""
    recipe = _good(kind, tokens, _FAST)
    size = recipe.network["hidden_size"] // 2
    narrow = {"hidden_size": size, "num_layers": 1, "embedding_size": 64 if kind == "char" else size}
    return Recipe(recipe.network | narrow, recipe.training)


def kind_of(corpus: Corpus) -> str:
    """The kind of token that suits a text, said with its reason."""
    if _marks_unknown(corpus):
        say(f"tokens: words, for the text has {_UNKNOWN_WORD} among its words")
        return "word"
    if corpus.characters < _LONG:
        say(f"tokens: characters, for the text has {corpus.characters}, fewer than {_LONG // 1_000_000} million")
        return "char"
    say(f"tokens: pieces of words, for the text has {corpus.characters} characters")
    return "subword"


def _marks_unknown(corpus: Corpus) -> bool:
    """Whether rare words stand as <unk> in the text: somebody has cut it into tokens before."""
    looked = "\n".join(corpus.train)[:_LOOKED_AT] if len(corpus.train) > 1 else corpus.train[0][:_LOOKED_AT]
    return f" {_UNKNOWN_WORD} " in looked


def vocabulary_of(config: LanguageModelConfig, corpus: Corpus, kind: str) -> Vocabulary:
    """The vocabulary of the training texts, said with its size."""
    from gatework.data.text import learn_vocabulary
    from gatework.data.text.tokenise import look_spaced

    size, cut = config.vocabulary_size, "words"
    if kind == "subword" and size is None:
        size = min(_SUBWORDS, max(corpus.characters // _CHARACTERS_A_SUBWORD, 100))
    if kind == "word" and (_marks_unknown(corpus) or look_spaced(corpus.train)):
        cut = "spaces"
    vocabulary = learn_vocabulary(kind, corpus.train, size=size, tokenise=cut)  # type: ignore[arg-type]
    say(f"vocabulary: {len(vocabulary)} {kind} tokens" + (", cut at spaces" if cut == "spaces" else ""))
    return vocabulary


def choose(config: LanguageModelConfig, kind: str, tokens: int, held: bool) -> LanguageModelConfig:
    """`config` with every setting decided, for a text of so many tokens; `held` whether a part is held out."""
    recipe = _AWD if config.preset == "awd" else (_good if config.preset == "good" else _fast)(kind, tokens)
    model = config.model.model_copy(
        update={name: value for name, value in recipe.network.items() if getattr(config.model, name) is None}
    )
    if model.num_layers == 1 and config.model.dropout is None and not (model.attention_under or model.attention_over):
        model = model.model_copy(update={"dropout": 0.0})  # there is nothing between a layer and none
    training = config.training.model_copy(update=_training(config.training, recipe, tokens))
    tie = config.tie
    if tie is None:
        tie = config.softmax == "full" and (config.preset == "awd" or model.embedding_size == model.hidden_size)
    if tie and config.softmax == "adaptive":
        raise ConfigError("tie is true and softmax is adaptive, whose clusters have matrices of their own; drop one.")
    if tie and model.num_layers == 1 and model.embedding_size != model.hidden_size:
        raise ConfigError(
            f"tie is true, but a single layer of {model.hidden_size} units is not as wide as vectors of "
            f"{model.embedding_size}; set embedding_size={model.hidden_size}, or more layers: the last one adapts."
        )
    chosen = config.model_copy(
        update={
            "tokens": kind,
            "model": model,
            "training": training,
            "tie": tie,
            "members": config.members or 1,
            "refit": config.refit or "never",
            "holdout": (10 if config.holdout is None else config.holdout) if held else 0,
        }
    )
    _say(chosen, tokens)
    return chosen


def _training(given: LanguageTraining, recipe: Recipe, tokens: int) -> dict[str, Any]:
    """The loop's settings: what was given over the recipe's, and these over the usual ones."""
    own = given.model_dump(exclude_none=True)
    chosen = Training().model_dump() | recipe.training
    optimiser = own.get("optimiser") or chosen["optimiser"]
    chosen["learning_rate"] = _RATES[optimiser]
    if optimiser == "nt-asgd":
        chosen["average"] = 0.0  # it averages the weights itself
    passes = chosen.pop("max_epochs")
    chosen |= {"max_epochs": None} | own
    if not (given.max_epochs or given.max_steps or given.time_limit):
        chosen |= span(given, passes, math.ceil(tokens / chosen["batch_size"] / chosen["length"]))
    if chosen["optimiser"] == "nt-asgd" and chosen["average"]:
        raise ConfigError(
            f"average is {chosen['average']}, but the preset's optimiser, nt-asgd, averages the weights itself; leave "
            "average out, or set optimiser to another."
        )
    return chosen


def _say(config: LanguageModelConfig, tokens: int) -> None:
    model, training = config.model, config.training
    span = counted(training.max_epochs, "epoch") if training.max_epochs else "as many epochs as there is time for"
    if training.max_steps:
        span = counted(training.max_steps, "step")
    say(
        f"recipe: {counted(model.num_layers or 1, 'layer')} of {model.hidden_size} units ({model.cell}), vectors of "
        f"{model.embedding_size}{', tied' if config.tie else ''}; {span} over {tokens} tokens in {training.batch_size} "
        f"streams, {training.length} at a time, {training.optimiser} at {training.learning_rate}"
    )
