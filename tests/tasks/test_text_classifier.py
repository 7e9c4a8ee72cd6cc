"""The text classifier as a user meets it: every kind of label, bad input, transfer, the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gatework.cli.main import main
from gatework.data.text import synthetic_reviews
from gatework.errors import GateworkError, InputError
from gatework.say import quiet, recording
from gatework.tasks import load
from gatework.tasks.text_classifier import TextClassifier

SMALL = {
    "character_filters": 0,
    "hidden_size": 24,
    "embedding_size": 24,
    "learning_rate": 0.02,
    "batch_size": 16,
    "patience": 0,
}


def small(folder: Path, **settings: Any) -> TextClassifier:
    return TextClassifier(**{**SMALL, "max_epochs": 4, "runs": str(folder), **settings})


def reviews(count: int = 240, seed: int = 0) -> pd.DataFrame:
    """Those that only praise or only blame, which little training can tell."""
    frame = synthetic_reviews(seed, 6 * count)
    plain = frame[~frame.text.str.contains("but|lthough")]
    return plain.head(count).reset_index(drop=True)


def starred(seed: int = 0) -> pd.DataFrame:
    """Stars 1 to 4: twice the number of words of praise less those of blame, and a little noise."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(300):
        stars = random.integers(1, 5)
        words = ["great"] * (stars - 1) + ["poor"] * (4 - stars) + ["film"] * random.integers(0, 3)
        rows.append((" ".join(random.permutation(words)), stars))
    return pd.DataFrame(rows, columns=["review", "stars"])


def labelled(seed: int = 0) -> list[tuple[str, list[str]]]:
    """Emotions, none to two a text, each from a word of its own."""
    random = np.random.default_rng(seed)
    words = {"joy": "laughing", "fear": "trembling", "anger": "shouting"}
    rows = []
    for _ in range(300):
        own = [name for name in words if random.uniform() < 0.35]
        told = [words[name] for name in own] + list(random.choice(["we", "walked", "home", "then"], 4))
        rows.append((" ".join(random.permutation(told)), own))
    return rows


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TextClassifier:
    with quiet():
        return small(tmp_path_factory.mktemp("runs"), max_epochs=8).fit(reviews())


def test_learns_and_stands_beside_its_baselines(model: TextClassifier):
    evaluation = model.evaluate(reviews(seed=1))
    assert evaluation["accuracy"] > 0.9
    assert list(evaluation.baselines) == ["most frequent class", "TF-IDF + logistic regression"]
    assert {"accuracy", "macro F1"} <= evaluation.larger and "log loss" not in evaluation.larger
    folder = model.run_.path / "evaluations" / "001"
    for name in ("plots/confusion.png", "plots/reliability.png", "worst.csv", "worst.html", "evaluation.json"):
        assert (folder / name).is_file(), name
    worst = pd.read_csv(folder / "worst.csv")
    assert (worst.truth != worst.prediction).all() and worst.loss.is_monotonic_decreasing


def test_predictions_are_a_row_a_text(model: TextClassifier):
    texts = ["This lamp never worked.", "My new radio works perfectly and looks lovely."]
    answer = model.predict(texts)
    pd.testing.assert_frame_equal(model.predict(texts[0]), answer.head(1))
    with pytest.raises(InputError, match=r"my reviews\.csv"):
        model.predict("my reviews.csv")
    assert list(answer.columns) == ["label", "confidence", "p_bad", "p_good"]
    assert answer.label.tolist() == ["bad", "good"]
    assert (answer.p_bad + answer.p_good).to_numpy() == pytest.approx(1)
    assert answer.confidence.to_numpy() == pytest.approx(answer[["p_bad", "p_good"]].max(axis=1).to_numpy())
    polars = pytest.importorskip("polars")
    assert isinstance(model.predict(polars.DataFrame({"text": texts})), polars.DataFrame)


def test_words_never_seen_are_answered_and_said(model: TextClassifier):
    with recording() as said:
        answer = model.predict(["完全不同的文字", "works perfectly", "\u0000 🙂"])
    assert any("2 texts of 3 without a single known word" in line for line in said)
    assert np.isfinite(answer.p_good).all()


def test_highlights_are_written(model: TextClassifier, tmp_path: Path):
    page = tmp_path / "words.html"
    answer = model.predict(["The clock <b>broke</b> after a day."], highlights=str(page))
    html = page.read_text()
    assert "&lt;" in html and "<b>" not in html and f"{answer.label[0]} (" in html


def test_ranks(tmp_path: Path):
    with quiet():
        found = small(tmp_path, kind="ordinal", max_epochs=8).fit(starred())
    scores = found.evaluate(starred(1)).scores
    assert scores["rank error"] < 0.3 and scores["quadratic kappa"] > 0.85
    assert list(found.predict(["great great great"]).columns[2:]) == ["p_1", "p_2", "p_3", "p_4"]
    again = load(found.run_.path)
    pd.testing.assert_frame_equal(again.predict(starred(2)), found.predict(starred(2)))


def test_several_labels(tmp_path: Path):
    with quiet():
        found = small(tmp_path, max_epochs=8, class_weights="balanced").fit(labelled())
        evaluation = found.evaluate(labelled(1))
    assert found.config_.kind == "multi-label" and evaluation["micro F1"] > 0.9
    assert (found.run_.path / "plots/f1_by_label.png").is_file()
    answer = found.predict(["then laughing we shouting walked", "we walked home"])
    assert sorted(answer.label[0].split(",")) == ["anger", "joy"] and answer.label[1] == ""


def test_validation_data_decide_instead_of_a_part(tmp_path: Path):
    with quiet():
        found = small(tmp_path, max_epochs=1).fit(reviews(60), validation=reviews(40, seed=3))
    assert "40 texts" in found.evaluation_.title
    with pytest.raises(InputError, match="validation row 1: the label 'new' is none of the classes bad, good"):
        small(tmp_path).fit(reviews(60), validation=[("text", "new"), ("text", "good")])


def test_nothing_held_out(tmp_path: Path):
    with recording() as said:
        found = small(tmp_path, max_epochs=1, holdout=0).fit(reviews(60))
    assert found.evaluation_ is None and any("nothing is held out" in line for line in said)
    assert found.evaluate(reviews(40, seed=2)).scores["accuracy"] >= 0


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_transfer_in_one_call(tmp_path: Path, direction: str):
    settings: dict[str, Any] = {"pretrain": "same", "direction": direction, "pretrain_epochs": 1, "max_epochs": 2}
    with quiet():
        found = small(tmp_path, **settings).fit(reviews(120))
    names = [row.get("preparation") for row in found.run_.read_jsonl("metrics.jsonl")]
    members = 2 if direction == "both" else 1
    assert len({name for name in names if name}) == members == len(found.nets_)
    assert found.config_.model.pooling == "concat" and found.config_.training.schedule == "slanted"
    again = load(found.run_.path)
    assert [net.backbone.reverse for net in again.nets_] == [False, True][:members]
    pd.testing.assert_frame_equal(again.predict(reviews(20)), found.predict(reviews(20)))


def test_transfer_from_unlabelled_text_in_a_file(tmp_path: Path):
    (tmp_path / "more.txt").write_text("The zeppelin works perfectly .\n" * 30)
    with quiet():
        found = small(tmp_path, pretrain=str(tmp_path / "more.txt"), pretrain_epochs=1, max_epochs=1).fit(reviews(60))
    assert "zeppelin" in found.fitted_.inputs.words.tokens


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ([("a text", "x"), ("another", "x")], {}, "one class only, 'x'"),
        ([("a text", "x"), ("  ", "y")], {}, "1 text of 2 is empty: data row 2"),
        (pd.DataFrame({"text": ["a", "b"]}), {}, "no other column"),
        (pd.DataFrame({"text": ["a", "b"], "y": ["1", "2"]}), {"label_column": "lable"}, "lable"),
        (["no", "labels"], {}, "texts without labels"),
        ([], {}, "empty"),
        ("missing.csv", {}, "missing.csv"),
        ([("a", "x"), ("b", "y")], {"cell": "lstmm"}, "lstmm"),
        ([("a", "x"), ("b", "y"), ("c", "z")], {"kind": "binary"}, "there are 3 classes"),
        ([("a b", "x"), ("b c", "y")] * 5, {"pretrain": "same", "direction": "both", "members": 3}, "an even number"),
        ([("a b", "x"), ("b c", "y")] * 5, {"pretrained": ("nowhere",), "least": 2}, "nowhere does not exist"),
        (
            [("a b", "x"), ("b c", "y")] * 5,
            {"pretrain": "same", "vectors": "x.txt"},
            "vectors is 'x.txt', but with pretrain",
        ),
    ],
)
def test_data_that_cannot_be_used(tmp_path: Path, data: Any, settings: dict[str, Any], message: str):
    with quiet(), pytest.raises(GateworkError, match=message):
        small(tmp_path, **{"least": 1, **settings}).fit(data)


def test_other_data_than_those_of_the_fit(model: TextClassifier):
    with pytest.raises(InputError, match="data row 2: the label 'dreadful' is none of the classes bad, good"):
        model.evaluate([("works perfectly", "good"), ("works", "dreadful")])
    with pytest.raises(InputError, match="text"):
        model.predict(pd.DataFrame({"comment": ["works perfectly"]}))
    with pytest.raises(InputError, match="data item 2"):
        model.predict(["fine", ""])
    with recording() as said:
        model.evaluate(reviews())
    assert any("data of the training" in line for line in said)


def test_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    reviews(80).to_csv("reviews.csv", index=False)
    flags = ["--hidden-size", "8", "--max-epochs", "1", "--text-column", "text"]
    assert main(["fit", "text-classifier", "reviews.csv", *flags]) == 0
    assert main(["predict", "runs/text-classifier-001", "reviews.csv", "-o", "out.csv", "--highlights", "w.html"]) == 0
    assert len(pd.read_csv("out.csv")) == 80 and Path("w.html").is_file()
    assert main(["evaluate", "runs/text-classifier-001", "reviews.csv"]) == 0
    assert "TF-IDF" in capsys.readouterr().out
    assert json.loads(Path("runs/text-classifier-001/run.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(
    "settings",
    [{"character_filters": 6, "pooling": "max"}, {"tokens": "subword", "vocabulary_size": 60, "attention_over": 1}],
)
def test_what_else_a_network_may_read(tmp_path: Path, settings: dict[str, Any]):
    with quiet():
        found = small(tmp_path, max_epochs=1, **settings).fit(reviews(80))
    texts = ["The lamp broke after a day, never again.", "works", "完全"]
    together, again = found.predict(texts), load(found.run_.path)
    alone = pd.concat([again.predict([text]) for text in texts], ignore_index=True)
    assert together.p_good.to_numpy() == pytest.approx(alone.p_good.to_numpy(), abs=1e-5)
    (highlight,) = found.fitted_.highlights(list(found.nets_), texts[:1], ["1"])
    assert "".join(highlight.words) == texts[0] and len(highlight.effects) == len(highlight.words)
    assert any(word.strip(" ,") == "broke" for word in highlight.words)
