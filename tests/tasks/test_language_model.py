"""The language model as its user meets it: fitted, scored, written with, resumed, and given what it cannot use."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gatework import load
from gatework.data.text import learn_vocabulary, synthetic_corpus
from gatework.errors import CellError, ConfigError, InputError
from gatework.run.checkpoint import Checkpoint
from gatework.say import quiet, recording
from gatework.tasks import resume
from gatework.tasks.language.generation import Order
from gatework.tasks.language.network import CarriedState
from gatework.tasks.language.reading import Reader
from gatework.tasks.language.sampling import Sampling
from gatework.tasks.language_model import LanguageModel

CORPUS = synthetic_corpus(0, 100)
OTHER = synthetic_corpus(1, 30)
KINDS = ["char", "word", "subword"]


def new(folder: Path, **settings: Any) -> LanguageModel:
    given = {"tokens": "word", "hidden_size": 16, "embedding_size": 12, "num_layers": 1, "max_epochs": 3, "length": 20}
    given |= {"batch_size": 4, "learning_rate": 0.02, "runs": str(folder)}
    return LanguageModel(**{**given, **settings})


@pytest.fixture(scope="module", params=KINDS)
def model(request, tmp_path_factory) -> LanguageModel:
    with quiet():
        size = {"vocabulary_size": 60} if request.param == "subword" else {}
        return new(tmp_path_factory.mktemp("runs"), tokens=request.param, **size).fit([CORPUS])


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> LanguageModel:
    with quiet():
        return new(tmp_path_factory.mktemp("runs"), max_epochs=12).fit([CORPUS])


def same_weights(one: LanguageModel, other: LanguageModel) -> bool:
    pairs = zip(one.nets_.state_dict().values(), other.nets_.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def by_hand(model: LanguageModel, text: str) -> float:
    """Surprisal of a text and its end in nats, one step after the other."""
    total, reader = 0.0, Reader(list(model.nets_))
    ids = model.vocabulary_.encode(text.removesuffix("\n"))
    with torch.no_grad():
        scores, state = reader.start([[2]])
        for token in [*ids, 2]:
            total -= float(scores[0, token])
            scores, state = reader.step(torch.tensor([token]), state)
    return total


# Scores.


def test_the_whole_stream_in_one_state(model):
    nats, tokens = by_hand(model, OTHER), len(model.vocabulary_.encode(OTHER.removesuffix("\n"))) + 1
    found = model.evaluate([OTHER])
    assert found["nats per token"] == pytest.approx(nats / tokens, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert found["bits per character"] == pytest.approx(nats / math.log(2) / len(OTHER), rel=1e-5)
    assert found["bits per word"] == pytest.approx(nats / math.log(2) / len(OTHER.split()), rel=1e-5)
    assert found["nats per token"] < found.baselines["unigram"]["nats per token"]
    assert set(found.baselines) == {"unigram", "trigram"}


def test_the_state_goes_on_from_text_to_text(words):
    halves = OTHER[: OTHER.index("\n", 600) + 1], OTHER[OTHER.index("\n", 600) + 1 :]
    assert words.evaluate(list(halves))["nats per token"] == pytest.approx(words.evaluate([OTHER])["nats per token"])


def test_a_longer_training_beats_the_unigrams_and_is_saved_as_it_was(words):
    again = load(words.run_.path)
    assert words.evaluation_["perplexity"] < 0.4 * words.evaluation_.baselines["unigram"]["perplexity"]
    assert again.evaluate([OTHER]).scores == words.evaluate([OTHER]).scores
    assert again.generate("the", seed=3) == words.generate("the", seed=3)
    assert (words.run_.path / "plots/surprisal_by_frequency.png").is_file()


def test_predict_has_a_row_for_each_text_read_by_itself(model):
    lines = OTHER.splitlines()[:7]
    table = model.predict(pd.DataFrame({"text": lines}))
    assert table["tokens"].tolist() == [len(model.vocabulary_.encode(line)) + 1 for line in lines]
    np.testing.assert_allclose(table["bits"] * math.log(2), [by_hand(model, line) for line in lines], rtol=1e-4)
    one = [model.predict([line]).loc[0, "bits"] for line in lines]
    np.testing.assert_allclose(table["bits"], one, rtol=1e-5)


def test_score_says_it_of_every_token(model):
    text = "the baker sold a chair .\nthe sailor"
    found = model.score(text)
    assert "".join(found.pieces) == text
    assert len(found.pieces) == len(found.nats) == len(model.vocabulary_.encode(text))
    begin = model.score(text[:24])  # whole tokens of any kind
    np.testing.assert_allclose(found.nats[: len(begin.nats)], begin.nats, rtol=1e-4, atol=1e-5)
    assert found.ranks.min() >= 1 and found.ranks.max() <= len(model.vocabulary_)
    assert "<html" in found.page()


def test_adaptation_changes_scores_and_not_the_model(words):
    before = {name: value.clone() for name, value in words.nets_.state_dict().items()}
    plain = words.evaluate([OTHER * 3])["perplexity"]
    assert words.evaluate([OTHER * 3], dynamic=0.002)["perplexity"] < plain
    assert words.evaluate([OTHER * 3], cache=300, cache_weight=0.05)["perplexity"] != plain
    assert all(torch.equal(before[name], value) for name, value in words.nets_.state_dict().items())
    assert words.evaluate([OTHER * 3])["perplexity"] == plain


def test_backward_models_score_what_comes_before(tmp_path):
    with quiet():
        back = new(tmp_path, direction="backward", max_epochs=12).fit([CORPUS])
    assert back.evaluation_["perplexity"] < 0.5 * back.evaluation_.baselines["unigram"]["perplexity"]
    found = back.score("the baker sold a chair .")
    with torch.no_grad():
        scores, _ = Reader(list(back.nets_)).start([[2]])
    assert found.nats[-1] == pytest.approx(-float(scores[0, back.vocabulary_.encode(".")[0]]), rel=1e-4)
    assert "".join(found.pieces) == "the baker sold a chair ."
    with pytest.raises(InputError, match="reads from the end"):
        back.generate("the")


# Generation.


@pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"top_p": 0.8, "no_repeat": 4}, {"stop": ["mon", "."]}])
def test_a_prompt_gives_the_same_in_any_batch_and_in_a_stream(model, options: dict):
    prompts = ["", "the ", "a sailor opened the door on monday .\na yo", "my sister", "the old teacher " * 40]
    together = model.generate(prompts, limit=30, **options)
    assert together == [model.generate(prompt, limit=30, **options) for prompt in prompts]
    assert together == ["".join(model.stream(prompt, limit=30, **options)) for prompt in prompts]


def test_samples_alternatives_and_beams(words):
    texts = words.generate("the", samples=3, limit=12, alternatives=2)
    assert len(texts) == 3 == len(set(texts))
    assert all(len(noted) == 2 for noted in texts[0].alternatives)
    best = words.generate("the", beams=5, limit=12)
    greedy = words.generate("the", temperature=0, limit=12)
    assert sum(best.log_probabilities) >= sum(greedy.log_probabilities) - 1e-4
    assert len(words.generate(["the", "a"], beams=3, samples=2, limit=5)) == 4


def test_special_tokens_are_never_written(model):
    text = model.generate("the", limit=300, temperature=3.0)
    assert "<unk>" not in text and "<pad>" not in text and "⁇" not in text


def test_a_text_begins_after_the_end_of_one(words):
    scores, _ = Reader(list(words.nets_)).start([[2]])
    text = words.generate("", temperature=0, limit=1)
    assert text == words.vocabulary_.token(int(scores[0].argmax()))


def test_a_word_goes_on_with_one_space(words):
    assert words.generate("the", seed=1, limit=5) == f" {words.generate('the ', seed=1, limit=5)}"


def test_an_unknown_prompt_is_said(words):
    with recording() as said, quiet():
        words.generate("the zebra saw 北京", limit=3)
    assert any("'zebra'" in line and "北" in line for line in said)


# Training.


def test_generate_and_stream_have_the_same_defaults():
    known = {name: value.default for name, value in inspect.signature(LanguageModel.generate).parameters.items()}
    for settings in (Order(), Sampling()):
        own = {name: value for name, value in vars(settings).items() if name in known}
        assert own == {name: known[name] for name in own}


@pytest.mark.parametrize(
    "settings",
    [
        {"softmax": "adaptive", "hidden_size": 32},
        {"tie": True, "num_layers": 2},
        {"cell": "gru", "zoneout": 0.1, "weight_drop": 0.2},
        {"members": 2, "refit": "further"},
        {"attention_over": 1, "heads": 2, "attention_window": 8},
        {"character_filters": 8, "character_widths": (2, 3)},
        {"random_lengths": True, "activation_penalty": 2.0, "change_penalty": 1.0},
        {"preset": "awd", "num_layers": 2},
        {"preset": "fast", "embedding_size": None, "hidden_size": None, "learning_rate": None},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_networks_and_recipes(tmp_path, settings: dict):
    with quiet():
        model = new(tmp_path, **{"max_epochs": 1, **settings}).fit([CORPUS])
    assert math.isfinite(model.evaluation_["perplexity"])
    again = load(model.run_.path)
    assert same_weights(model, again)
    assert again.generate("the", limit=8) == model.generate("the", limit=8)


def test_the_state_is_part_of_what_is_resumed(tmp_path, monkeypatch):
    settings = {"output_dropout": 0.2, "random_lengths": True, "max_epochs": 2, "average": 0.9}
    settings["checkpoint_seconds"] = 0
    with quiet():
        whole = new(tmp_path / "whole", **settings).fit([CORPUS])

    def stopped(folder: Path) -> Path:
        saved, save = [], Checkpoint.save

        def stop(self, state):
            save(self, state)
            saved.append(state)
            if len(saved) == 5:  # in the middle of the first epoch
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Checkpoint, "save", stop)
            with quiet(), pytest.raises(KeyboardInterrupt):
                new(folder, **settings).fit([CORPUS])
        (run,) = folder.glob("language-model-*")
        return run

    with quiet():
        assert same_weights(resume(stopped(tmp_path / "one"), data=[CORPUS]), whole)
        run = stopped(tmp_path / "two")
        monkeypatch.setattr(CarriedState, "load_state_dict", lambda self, state: None)
        assert not same_weights(resume(run, data=[CORPUS]), whole)


def test_validation_data_are_the_held_out_part(tmp_path):
    with quiet():
        model = new(tmp_path).fit([CORPUS], validation=[OTHER])
    assert model.evaluation_.scores == model.evaluate([OTHER]).scores


def test_what_is_decided_is_said(tmp_path):
    with recording() as said, quiet():
        new(tmp_path, tokens="auto", max_epochs=1).fit([CORPUS])
        new(tmp_path, tokens="auto", max_epochs=1).fit([CORPUS.replace("sold", "<unk>")])
    assert any(line.startswith("tokens: characters") for line in said)
    assert any(line.startswith("tokens: words") and "<unk>" in line for line in said)
    assert any(line.startswith("held out: the last 10 %") for line in said)
    assert sum(line.startswith("recipe:") for line in said) == 2


def test_ten_million_characters_in_a_line(tmp_path):
    line = "ab cd" * 2_000_000
    with quiet():
        model = new(tmp_path, tokens="char", max_steps=1, holdout=0, batch_size=64).fit([line])
    assert model.evaluation_ is None
    assert math.isfinite(model.score("ab").perplexity)


# What cannot be used.


def test_text_in_a_script_never_seen(model):
    if model.config_.tokens == "subword":
        return  # spelt in bytes: nothing is unknown
    for call in (model.score, lambda text: model.evaluate([text])):
        with (
            quiet(),
            pytest.raises(InputError, match="not in the model's vocabulary; is it of another language or script"),
        ):
            call("Привет Мир")


def test_some_unknown_tokens_are_counted_and_said(words):
    with recording() as said, quiet():
        found = words.score("the zebra sold a chair .")
    assert found.unknown.tolist() == [False, True, False, False, False, False]
    assert any("1 tokens (17 %) are not in the vocabulary" in line for line in said)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": -0.5}, "temperature is -0.5"),
        ({"top_p": 0}, "top_p is 0"),
        ({"limit": 0}, "limit is 0"),
        ({"samples": 0}, "samples is 0"),
        ({"beams": -1}, "beams is -1"),
        ({"beams": 2, "samples": 3}, "take more beams"),
        ({"beams": 2, "length_power": -1}, "length_power is -1"),
        ({"stop": [""]}, "1 character or more"),
        ({"prompt": 5}, "prompt is"),
        ({"prompt": ["a", None]}, "prompt is NoneType"),
    ],
)
def test_generation_out_of_range(words, options: dict, said: str):
    with pytest.raises(InputError, match=said):
        words.generate(**{"prompt": "the", **options})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beams": 2, "temperature": 0.5}, "temperature is 0.5, .* leave beams out"),
        ({"beams": 2, "top_k": 5}, "top_k is 5"),
        ({"beams": 2, "alternatives": 3}, "alternatives is 3"),
        ({"length_power": 2.0}, "length_power is 2.0, .* set beams"),
        ({"temperature": 0, "typical": 0.5}, "typical is 0.5, .* temperature"),
    ],
)
def test_options_of_generation_that_change_nothing(words, options: dict, said: str):
    with pytest.raises(ConfigError, match=said):
        words.generate("the", **options)
    if "beams" not in options:
        with pytest.raises(ConfigError, match=said):
            words.stream("the", **options)


def test_options_at_their_usual_values_are_not_refused(words):
    assert words.generate("the", beams=2, limit=3, temperature=0.8, top_p=1.0) == words.generate(
        "the", beams=2, limit=3
    )
    assert words.generate("the", limit=3, temperature=0, top_k=5) == words.generate("the", limit=3, temperature=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pull": 0.1}, "pull is 0.1, .* set dynamic"),
        ({"cache_weight": 0.2}, "cache_weight is 0.2, .* set cache"),
        ({"dynamic": 0.001, "cache_sharpness": 0.2}, "cache_sharpness is 0.2, .* set cache"),
    ],
)
def test_options_of_evaluation_that_change_nothing(words, options: dict, said: str):
    with pytest.raises(ConfigError, match=said):
        words.evaluate([OTHER], **options)


def test_streams_take_what_can_be_streamed(words):
    with pytest.raises(InputError, match=r"stream\(\) does not take beams"):
        words.stream("the", beams=3)
    with pytest.raises(InputError, match="temperature is -1"):
        words.stream("the", temperature=-1)


@pytest.mark.parametrize("text", ["", None, 3, ["a"]])
def test_nothing_to_score(words, text):
    with pytest.raises(InputError, match="expected a string of 1 character or more"):
        words.score(text)


@pytest.mark.parametrize("data", [[""], ["a"], ["aaaa" * 100], ["word " * 200], []])
@pytest.mark.parametrize("tokens", ["word", "char"])
def test_texts_that_teach_nothing(tmp_path, data: list[str], tokens: str):
    if tokens == "char" and data == ["word " * 200]:
        return  # five characters are enough
    with quiet(), pytest.raises(InputError):
        new(tmp_path, tokens=tokens).fit(data)
    assert not list(tmp_path.glob("language-model-*"))


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"tokens": "letters"}, "tokens is 'letters'"),
        ({"vocabulary_size": 3}, "vocabulary_size is 3"),
        ({"holdout": 60}, "holdout is 60"),
        ({"tie": True}, "set embedding_size=16"),
        ({"tie": True, "softmax": "adaptive"}, "drop one"),
        ({"cell": "lstn"}, "lstm"),
        ({"length": 0}, "length is 0"),
    ],
)
def test_settings_that_do_not_fit(tmp_path, settings: dict, error: str):
    with quiet(), pytest.raises((ConfigError, CellError), match=error):
        new(tmp_path, **settings).fit([CORPUS])


def test_before_fit():
    for call in (lambda m: m.generate("a"), lambda m: m.score("a"), lambda m: m.evaluate(["a"]), lambda m: m.stream()):
        with pytest.raises(InputError, match="not trained yet"):
            call(LanguageModel())


def test_the_vocabulary_is_of_the_training_part_alone(tmp_path):
    with quiet():
        model = new(tmp_path, max_epochs=1).fit([CORPUS], validation=["zebra the ."])
    assert model.vocabulary_ == learn_vocabulary("word", [CORPUS], tokenise="spaces")
