"""What is decided of a language model's settings, and what the user's own settings keep."""

from __future__ import annotations

import pytest
import yaml
from sklearn.base import clone

from gatework.cli.flags import add_settings, settings
from gatework.cli.main import Parser
from gatework.errors import ConfigError
from gatework.say import quiet
from gatework.tasks.config import read_yaml, settle, to_yaml
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


def test_rate_fits_the_optimiser():
    words, characters = chosen("word").training, chosen("char").training
    assert (words.optimiser, words.learning_rate, words.weight_decay) == ("sgd", 20.0, 0.0)
    assert (characters.optimiser, characters.learning_rate) == ("adamw", 0.003)
    other = chosen("word", optimiser="nt-asgd").training
    assert (other.learning_rate, other.average) == (30.0, 0.0)
    assert chosen("char", optimiser="sgd").training.learning_rate == 20.0
    assert chosen("char", optimiser="sgd", learning_rate=1.5).training.learning_rate == 1.5


USUAL = {"optimiser": "adamw", "schedule": "one-cycle", "weight_decay": 0.01, "clip_norm": 1.0, "patience": 5}
"""What the loop does where neither the user nor a recipe says."""


def test_own_settings_stay_where_they_are_the_usual_ones(tmp_path):
    found = [chosen("word", preset="awd", **USUAL)]
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump({"preset": "awd", "training": USUAL}))
    found.append(chosen("word", **settle(LanguageModel.Config, read_yaml(path))))
    task, words = (
        LanguageModel,
        [word for name, value in USUAL.items() for word in (f"--{name.replace('_', '-')}", str(value))],
    )
    parser = Parser("gatework fit", "")
    add_settings(parser, task)
    options, rest = parser.parse_known_args(["--preset", "awd", *words])
    found.append(chosen("word", **settings(task, options, rest, ())))
    for config in found:
        assert {name: getattr(config.training, name) for name in USUAL} == USUAL
    assert chosen("word", preset="good", average=0.0).training.average == 0


@pytest.mark.parametrize("preset", ["good", "fast", "awd"])
def test_settings_written_out_leave_open_what_was_open(tmp_path, preset: str):
    path = tmp_path / "settings.yaml"
    path.write_text(to_yaml(LanguageModel.Config, {"preset": preset}))
    plain = LanguageModel(preset=preset)
    for same in (LanguageModel(**settle(LanguageModel.Config, read_yaml(path))), clone(plain)):
        with quiet():
            assert choose(same.settings(), "word", 1_000_000, held=True) == chosen("word", preset=preset)


def test_nt_asgd_averages_by_itself():
    assert chosen("word", optimiser="nt-asgd").training.average == 0
    assert chosen("word", preset="awd", optimiser="sgd", average=0.9).training.average == 0.9
    with pytest.raises(ConfigError, match=r"average is 0\.9, but the preset's optimiser"):
        chosen("word", preset="awd", average=0.9)


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
