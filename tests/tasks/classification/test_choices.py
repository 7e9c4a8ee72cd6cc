"""What is decided from the texts, where the settings leave it open."""

from typing import Any

import pytest

from gatework.data.text import Documents, learn_vocabulary
from gatework.errors import ConfigError
from gatework.tasks.classification.choices import _taken_over, _training, choose
from gatework.tasks.classification.classes import Classes
from gatework.tasks.classification.parts import Parts
from gatework.tasks.classification.settings import ClassifierNetwork
from gatework.tasks.language.settings import LanguageNetwork
from gatework.tasks.language_model import LanguageModelConfig
from gatework.tasks.text.transfer import Origin
from gatework.tasks.text_classifier import TextClassifierConfig


def decided(length: int, texts: int = 40, **settings: Any) -> TextClassifierConfig:
    """The settings for `texts` texts of `length` words each."""
    told = [("good" if number % 2 else "poor", number) for number in range(texts)]
    own = [" ".join([word, *["film"] * (length - 1)]) for word, _ in told]
    documents = Documents(own, [(word,) for word, _ in told], [f"text {number}" for _, number in told])
    config = TextClassifierConfig.model_validate(settings)
    fitted, _ = choose(config, Parts(documents, None, (), documents), Classes.of(documents, "auto"))
    return fitted.config


@pytest.mark.parametrize(
    ("length", "texts", "dropouts", "filters", "widths", "rate"),
    [
        (13, 40, (0.3, 0.5, 0.1), 20, (2, 3, 4), 3e-3),
        (14, 40, (0.5, 0.5, 0.5), 50, (3,), 2e-3),
        (14, 20_000, (0.5, 0.5, 0.3), 0, None, 2e-3),
    ],
)
def test_a_network_of_short_texts_drops_few_words(
    length: int, texts: int, dropouts: tuple[float, ...], filters: int, widths: tuple[int, ...] | None, rate: float
) -> None:
    config = decided(length, texts)
    model = config.model
    assert (model.input_dropout, model.output_dropout, model.word_dropout) == dropouts
    assert (model.character_filters, model.character_widths, model.pooling) == (filters, widths, "attention")
    assert config.training.learning_rate == rate


def test_what_is_given_stays() -> None:
    given = {"word_dropout": 0.0, "character_filters": 7, "character_widths": (5,), "pooling": "max"}
    config = decided(5, model=given, training={"learning_rate": 0.01, "max_epochs": 2})
    assert given.items() <= config.model.model_dump().items()
    assert (config.training.learning_rate, config.training.max_epochs) == (0.01, 2)


def test_the_schedule_that_is_given_stays() -> None:
    assert decided(5).training.schedule == "one-cycle"
    for own, expected in ((None, "slanted"), ("one-cycle", "one-cycle")):
        training = _training(
            TextClassifierConfig.model_validate({"transfer": {"pretrain": "same"}, "training": {"schedule": own}}),
            Documents(["a text"], [("x",)], ["text 1"]),
        )
        assert training.schedule == expected


def test_the_network_of_a_language_model_is_not_overruled() -> None:
    network = LanguageNetwork(hidden_size=12, embedding_size=12, num_layers=1, weight_drop=0.0)
    origin = Origin(learn_vocabulary("word", ["a b"]), LanguageModelConfig(model=network), ("forward",))
    assert _taken_over(ClassifierNetwork(hidden_size=12), origin).hidden_size == 12
    with pytest.raises(ConfigError, match=r"hidden_size is 128, but the network .* where it is 12; leave it out"):
        _taken_over(ClassifierNetwork(hidden_size=128), origin)


def test_letters_have_no_spelling() -> None:
    assert decided(5, words={"tokens": "char"}).model.character_filters == 0
