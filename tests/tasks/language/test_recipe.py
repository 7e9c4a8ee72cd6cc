"""What is decided of a language model's settings, and what the user's own settings keep."""

from __future__ import annotations

import pytest

from gatework.errors import ConfigError
from gatework.say import quiet
from gatework.tasks.language.corpus import Corpus
from gatework.tasks.language.recipe import choose, kind_of
from gatework.tasks.language_model import LanguageModel


def chosen(kind: str = "char", tokens: int = 1_000_000, **settings: object):
    with quiet():
        return choose(LanguageModel(**settings).settings(), kind, tokens, held=True)


@pytest.mark.parametrize("kind", ["char", "word", "subword"])
@pytest.mark.parametrize("preset", ["good", "fast", "awd"])
@pytest.mark.parametrize("tokens", [2_000, 1_000_000, 50_000_000])
def test_nothing_is_left_open(kind: str, preset: str, tokens: int):
    found = chosen(kind, tokens, preset=preset)
    open_fields = {
        "vocabulary_size",
        "text_column",
        "vectors",
        "transformer",
        "max_steps",
        "steps_per_epoch",
        "time_limit",
    }
    for model in (found, found.model, found.training):
        assert {name for name, value in model if value is None} <= open_fields


def test_own_settings_stay():
    own = {"hidden_size": 77, "embedding_size": 33, "dropout": 0.5, "batch_size": 3, "learning_rate": 0.01, "length": 9}
    found = chosen(**own, optimiser="sgd", max_epochs=4)
    for name, value in {**own, "optimiser": "sgd", "max_epochs": 4}.items():
        assert value == getattr(found.model, name, None) or value == getattr(found.training, name, None), name


def test_what_is_decided_once_stays_when_decided_again():
    for preset in ("good", "fast", "awd"):
        once = chosen("word", preset=preset)
        with quiet():
            assert choose(once, "word", 1_000_000, held=True) == once


def test_a_limit_of_steps_or_time_takes_the_place_of_epochs():
    assert chosen().training.max_epochs
    assert chosen(max_steps=100).training.max_epochs is None
    assert chosen(time_limit=60).training.max_epochs is None


def test_longer_texts_are_read_fewer_times():
    epochs = [chosen(tokens=tokens).training.max_epochs for tokens in (10_000, 1_000_000, 10_000_000, 10**9)]
    assert epochs == sorted(epochs, reverse=True) and epochs[0] > epochs[2] >= epochs[3] >= 1


def test_when_the_output_layer_shares_the_vectors():
    assert chosen("word").tie and chosen("word").last_size == chosen("word").model.embedding_size
    assert not chosen("word", softmax="adaptive").tie
    assert not chosen("word", hidden_size=100, embedding_size=50).tie
    assert chosen("word", hidden_size=100, embedding_size=50, num_layers=2, tie=True).last_size == 50
    assert chosen("word", preset="awd").last_size == 400
    assert chosen("word", num_layers=1, hidden_size=64, embedding_size=64).last_size is None
    with pytest.raises(ConfigError, match="embedding_size=100"):
        chosen("word", hidden_size=100, embedding_size=50, num_layers=1, tie=True)


def test_nothing_held_out_is_no_percent():
    with quiet():
        assert choose(LanguageModel().settings(), "char", 1000, held=False).holdout == 0
    assert chosen().holdout == 10


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["some text"], "char"),
        (["the <unk> text"], "word"),
        (["short text"] * 3, "char"),
        (["word " * 1_100_000], "subword"),
    ],
)
def test_kind_of_token(texts: list[str], kind: str):
    with quiet():
        assert kind_of(Corpus(texts, [])) == kind
