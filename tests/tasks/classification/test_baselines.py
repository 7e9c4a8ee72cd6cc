"""Baselines: the share of classes, and scikit-learn's own pipeline, kept without a pickle."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from gatework.data.text import Documents, synthetic_reviews
from gatework.run import Run
from gatework.say import recording
from gatework.tasks.classification.baselines import LINEAR, MAJORITY, Baselines
from gatework.tasks.classification.classes import Classes


def reviews(seed: int, several: bool = False) -> Documents:
    frame = synthetic_reviews(seed, 800)
    frame = frame[~frame.text.str.contains("but|lthough")].head(150).reset_index(drop=True)  # words alone decide
    rows = [(label,) for label in frame.label]
    if several:
        rows = [(*own, "gift") if "Bought" in text else own for own, text in zip(rows, frame.text, strict=True)]
    return Documents(frame.text.tolist(), rows, [f"row {number}" for number in range(len(frame))])


def test_linear_is_the_pipeline_it_says():
    train, test = reviews(0), reviews(1)
    classes = Classes.of(train, "auto")
    found = Baselines.of(train, classes, seed=0)
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    model = LogisticRegression(C=10.0, max_iter=300).fit(vectors.fit_transform(train.texts), classes.targets(train))
    expected = model.predict_proba(vectors.transform(test.texts))
    assert found.linear is not None
    assert found.linear.probabilities(test.texts, several=False) == pytest.approx(expected, abs=1e-4)
    scores = found.score(test)
    assert list(scores) == [MAJORITY, LINEAR] and scores[LINEAR]["accuracy"] > 0.9
    share = np.bincount(classes.targets(test))[np.bincount(classes.targets(train)).argmax()] / len(test)
    assert scores[MAJORITY]["accuracy"] == pytest.approx(share)


@pytest.mark.parametrize("several", [False, True])
def test_saved_and_loaded(tmp_path: Path, several: bool):
    train, test = reviews(0, several), reviews(1, several)
    classes = Classes.of(train, "auto")
    found = Baselines.of(train, classes, seed=0)
    run = Run.create("text-classifier", tmp_path)
    found.save(run)
    again = Baselines.load(run, classes)
    for name, scores in found.score(test).items():
        assert again.score(test)[name] == pytest.approx(scores, rel=1e-3, abs=1e-5)
    assert (again.best(test.texts)[1] == found.best(test.texts)[1]).all()


def test_a_class_that_does_not_occur_is_never_chosen():
    train = reviews(0)
    classes = Classes.of(train, "auto", ("bad", "good", "mixed"))
    guess = Baselines.of(train, classes, seed=0).best(train.texts)[1]
    assert set(guess.tolist()) == {0, 1}


def test_without_scikit_learn_there_is_the_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    train = reviews(0)
    classes = Classes.of(train, "auto")
    run = Run.create("text-classifier", tmp_path)
    Baselines.of(train, classes, seed=0).save(run)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else find(name))
    with recording() as said:
        found = Baselines.of(train, classes, seed=0)
    assert any("scikit-learn is not installed" in line for line in said)
    assert list(found.score(train)) == list(Baselines.load(run, classes).score(train)) == [MAJORITY]
