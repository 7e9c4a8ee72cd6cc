"""Transfer: weights taken over as they are, levels that learn and thaw in turn, runs that go together, and resuming."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gatework.data.text import learn_vocabulary, synthetic_corpus, synthetic_reviews
from gatework.errors import ArtefactError, ConfigError
from gatework.run.checkpoint import Checkpoint
from gatework.say import quiet
from gatework.tasks import load, resume
from gatework.tasks.classification.settings import ClassifierNetwork
from gatework.tasks.language.pretraining import language_settings
from gatework.tasks.language_model import LanguageModel
from gatework.tasks.text.transfer import Origin, Transfer, groups, taken_over
from gatework.tasks.text_classifier import TextClassifier

TEXT = synthetic_corpus(0, 120)


def language_model(folder: Path, **settings: Any) -> str:
    given = {"tokens": "word", "hidden_size": 12, "embedding_size": 12, "num_layers": 1, "max_epochs": 1}
    with quiet():
        model = LanguageModel(**{**given, "runs": str(folder), **settings}).fit([TEXT])
    return str(model.run_.path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("language")
    return {name: language_model(folder, direction=name) for name in ("forward", "backward")}


def classifier(folder: Path, **settings: Any) -> TextClassifier:
    return TextClassifier(**{"max_epochs": 1, "runs": str(folder), **settings})


def test_weights_are_taken_over_as_they_are(runs: dict[str, str]):
    origin = Origin.open([runs["backward"], runs["forward"]], Transfer())
    assert origin.directions == ("forward", "backward") and origin.direction == "both"
    for number, direction in enumerate(origin.directions):
        reader = origin.reader(number)
        origin.hand_over(reader, number)
        assert reader.reverse == (direction == "backward")
        language = load(runs[direction]).nets_[0].backbone
        ids = torch.randint(3, len(origin.vocabulary), (1, 9))
        read, _ = language.eval()(ids.flip(1) if reader.reverse else ids)
        own, _ = reader.eval()(ids)
        assert torch.equal(own, read.flip(1) if reader.reverse else read)
    again = Origin.from_json(origin.to_json())
    assert again.vocabulary == origin.vocabulary and again.language == origin.language
    assert again.directions == origin.directions and again.weights == []


def test_levels_learn_slower_and_thaw_later_the_lower_they_are():
    levels = [nn.Linear(2, 2), nn.Linear(2, 2), nn.Identity(), nn.Linear(2, 2)]
    levels[1].weight.requires_grad_(False)
    found = groups(levels, 2.6, gradual=True)
    assert [len(group.parameters) for group in found] == [2, 1, 2], "frozen parameters are left alone"
    assert [group.rate for group in found] == pytest.approx([2.6**-3, 2.6**-2, 1.0])
    assert [group.thaw for group in found] == pytest.approx([0.2, 0.2 * 2 / 3, 0.0])
    assert all(group.thaw == 0 for group in groups(levels, 2.6, gradual=False))


def test_network_of_the_language_model_decides_all_but_dropouts(runs: dict[str, str]):
    origin = Origin.open([runs["forward"]], Transfer())
    own = ClassifierNetwork(hidden_size=99, word_dropout=0.25)
    merged = own.model_copy(update=taken_over(own, origin.network))
    assert (merged.hidden_size, merged.embedding_size, merged.num_layers) == (12, 12, 1)
    assert merged.word_dropout == 0.25 and merged.pooling == "auto"


def test_size_of_the_text_decides_how_it_is_learned():
    words = learn_vocabulary("word", [TEXT])
    small = language_settings(ClassifierNetwork(), Transfer(), words, [TEXT], held=True)
    assert small.softmax == "full" and small.training.max_epochs == 20 and small.model.hidden_size == 256
    many = learn_vocabulary("word", [" ".join(map(str, range(12_000)))])
    large = language_settings(ClassifierNetwork(cell="gru"), Transfer(), many, ["x" * 30_000_000], held=True)
    assert large.softmax == "adaptive" and large.training.max_epochs == 2 and large.model.cell == "gru"


@pytest.mark.parametrize("directions", [("forward",), ("backward",), ("forward", "backward")])
def test_classifier_begins_from_runs(runs: dict[str, str], tmp_path: Path, directions: tuple[str, ...]):
    named = tuple(runs[direction] for direction in directions)
    with quiet():
        model = classifier(tmp_path, pretrained=named).fit(synthetic_reviews(0, 60))
    assert model.config_.members == len(named)
    assert [net.backbone.reverse for net in model.nets_] == [direction == "backward" for direction in directions]
    assert model.fitted_.inputs.words == load(named[0]).vocabulary_
    frame = synthetic_reviews(1, 5)
    assert load(model.run_.path).predict(frame).equals(model.predict(frame)), "the language models are not needed again"


def test_a_finished_language_model_learns_further_on_the_texts(runs: dict[str, str], tmp_path: Path):
    with quiet():
        settings = {"pretrained": (runs["forward"],), "pretrain": "same", "pretrain_epochs": 1}
        model = classifier(tmp_path, **settings).fit(synthetic_reviews(0, 60))
    rows = model.run_.read_jsonl("metrics.jsonl")
    assert [row.get("preparation") for row in rows] == ["language model", None]
    before = Origin.open([runs["forward"]], Transfer()).weights[0]
    after = model.prepared_[0].backbone.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_runs_that_do_not_go_together(runs: dict[str, str], tmp_path: Path):
    with pytest.raises(ConfigError, match="all read forward; expected one, or one of each direction"):
        Origin.open([runs["forward"], runs["forward"]], Transfer())
    other = language_model(tmp_path, direction="backward", hidden_size=16)
    with pytest.raises(ConfigError, match="has another vocabulary or network"):
        Origin.open([runs["forward"], other], Transfer())
    spelt = language_model(tmp_path, character_filters=4)
    with pytest.raises(ConfigError, match="reads more than tokens"):
        Origin.open([spelt], Transfer())
    with quiet():
        wrong = classifier(tmp_path).fit(synthetic_reviews(0, 60))
    with pytest.raises(ArtefactError, match=r"is a run of text-classifier; expected one of language-model"):
        Origin.open([str(wrong.run_.path)], Transfer())


def test_stopped_in_the_pre_training_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    settings: dict[str, Any] = {"pretrain": "same", "pretrain_epochs": 2, "hidden_size": 8, "embedding_size": 8}
    settings |= {"checkpoint_seconds": 0, "batch_size": 16}
    file = tmp_path / "reviews.csv"
    synthetic_reviews(0, 80).to_csv(file, index=False)
    with quiet():
        whole = classifier(tmp_path / "whole", **settings).fit(file)
    saved, save = [], Checkpoint.save

    def stop(self: Checkpoint, state: Any) -> None:
        save(self, state)
        saved.append(state)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, quiet():
        patched.setattr(Checkpoint, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            classifier(tmp_path / "stopped", **settings).fit(file)
    with quiet():
        again = resume(tmp_path / "stopped" / "text-classifier-001")
    for name, value in whole.nets_.state_dict().items():
        assert torch.equal(value, again.nets_.state_dict()[name]), name
