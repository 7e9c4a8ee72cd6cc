"""Scores of classifications against scikit-learn's, against values worked by hand, and at the edges."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from gatework.tasks.classification import scores as class_scores


def cases(seed: int, classes: int, size: int = 200) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    truth = random.integers(0, classes, size)
    scores = random.normal(size=(size, classes)) + 1.5 * np.eye(classes)[truth]
    powers = np.exp(scores)
    return truth, powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 5])
def test_one_class_a_text_as_scikit_learn(classes: int):
    truth, probabilities = cases(classes, classes)
    chosen = probabilities.argmax(1)
    got = class_scores.scores("ordinal", truth, chosen, probabilities)
    assert got["accuracy"] == pytest.approx(metrics.accuracy_score(truth, chosen))
    assert got["macro F1"] == pytest.approx(metrics.f1_score(truth, chosen, average="macro"))
    assert got["log loss"] == pytest.approx(metrics.log_loss(truth, probabilities))
    assert got["rank error"] == pytest.approx(metrics.mean_absolute_error(truth, chosen))
    assert got["quadratic kappa"] == pytest.approx(metrics.cohen_kappa_score(truth, chosen, weights="quadratic"))
    assert (class_scores.confusion(truth, chosen, classes) == metrics.confusion_matrix(truth, chosen)).all()


def test_several_labels_as_scikit_learn():
    random = np.random.default_rng(0)
    truth = random.uniform(size=(150, 4)) < [0.1, 0.3, 0.5, 0.02]
    probabilities = np.clip(0.35 * truth + random.uniform(0, 0.6, truth.shape), 0, 1)
    chosen = probabilities > 0.4
    got = class_scores.scores("multi-label", truth, chosen, probabilities)
    assert got["micro F1"] == pytest.approx(metrics.f1_score(truth, chosen, average="micro"))
    assert got["macro F1"] == pytest.approx(metrics.f1_score(truth, chosen, average="macro", zero_division=np.nan))
    assert got["subset accuracy"] == pytest.approx(metrics.accuracy_score(truth, chosen))
    by_label = [metrics.log_loss(truth[:, k], probabilities[:, k]) for k in range(4)]
    assert got["log loss"] == pytest.approx(np.mean(by_label))


def test_calibration_error_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
    # two bins: all four are said with more than a half, 0.7375 in the mean; three are right
    assert class_scores.calibration_error(np.array([0, 0, 1, 0]), probabilities, bins=2) == pytest.approx(0.0125)
    labels = np.array([[True, False]])
    # labels: 0.2 (is there) and 0.9 (is not), a half of the cases each
    got = class_scores.calibration_error(labels, np.array([[0.2, 0.9]]), bins=2)
    assert got == pytest.approx(0.5 * 0.8 + 0.5 * 0.9)


def test_probabilities_that_hold_have_a_small_calibration_error():
    random = np.random.default_rng(1)
    said = random.uniform(0.5, 1, 20_000)
    truth = (random.uniform(size=said.size) > said).astype(int)
    assert class_scores.calibration_error(truth, np.stack([said, 1 - said], 1)) < 0.02
    assert class_scores.calibration_error(truth, np.stack([said**0.2, 1 - said**0.2], 1)) > 0.1


def test_edges():
    truth = np.array([1, 1])
    assert class_scores.macro_f1(truth, truth, 3) == 1.0, "classes that do not occur are left out"
    assert math.isnan(class_scores.quadratic_kappa(truth, truth, 3))
    nothing = np.zeros((2, 3), dtype=bool)
    assert math.isnan(class_scores.macro_f1(nothing, nothing, 3)) and math.isnan(
        class_scores.micro_f1(nothing, nothing, 3)
    )
    certain = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert math.isfinite(class_scores.log_loss(truth, certain)), "a certainty that is wrong is punished, not infinitely"
    assert class_scores.reliability(truth, certain)[0].tolist() == [1.0]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("binary", {"accuracy", "macro F1", "log loss", "calibration error"}),
        ("ordinal", {"accuracy", "rank error", "quadratic kappa", "macro F1", "log loss", "calibration error"}),
    ],
)
def test_the_kind_decides_the_scores(kind: str, names: set[str]):
    truth, probabilities = cases(3, 2, 20)
    assert class_scores.scores(kind, truth, probabilities.argmax(1), probabilities).keys() == names
