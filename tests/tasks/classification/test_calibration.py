"""A temperature undoes too much and too little confidence; thresholds are those with the largest F1."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from gatework.tasks.classification.calibration import Calibration, best_temperature, best_threshold, warmed
from gatework.tasks.classification.scores import calibration_error


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def honest(seed: int, size: int = 8000, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Truth drawn from softmax(scores), and the scores."""
    random = np.random.default_rng(seed)
    scores = 1.5 * random.normal(size=(size, classes))
    noise = -np.log(-np.log(random.uniform(size=scores.shape)))
    return (scores + noise).argmax(1), scores


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("heat", [0.3, 1.0, 4.0])
def test_temperature_is_found(heat: float):
    truth, scores = honest(0)
    raw = softmax(heat * scores)
    calibration = Calibration.of(truth, raw)
    assert calibration.temperature == pytest.approx(heat, rel=0.08) and calibration.samples == 8000
    other, more = honest(1)
    probabilities = calibration.apply(softmax(heat * more), several=False)
    assert probabilities.sum(1) == pytest.approx(1)
    assert calibration_error(other, probabilities) < 0.03
    assert (probabilities.argmax(1) == more.argmax(1)).all(), "a temperature never changes the choice"
    if heat != 1:
        assert calibration_error(other, softmax(heat * more)) > 0.06


def test_labels_have_a_temperature_and_thresholds():
    random = np.random.default_rng(2)
    scores = 2 * random.normal(size=(5000, 3)) - [0, 2, 4]
    truth = random.uniform(size=scores.shape) < sigmoid(scores)
    calibration = Calibration.of(truth, sigmoid(3 * scores))
    assert calibration.temperature == pytest.approx(3, rel=0.1)
    probabilities = calibration.apply(sigmoid(3 * scores), several=True)
    assert np.abs(probabilities - sigmoid(scores)).max() < 0.05
    chosen = calibration.choose(probabilities)
    for label in range(3):
        got = f1_score(truth[:, label], chosen[:, label])
        every = [f1_score(truth[:, label], probabilities[:, label] >= t) for t in np.linspace(0.01, 0.99, 99)]
        assert got >= max(every) - 1e-3


def test_threshold_treats_equal_probabilities_alike():
    truth = np.array([True] * 6 + [False] * 6)
    probabilities = np.array([0.9] * 3 + [0.4] * 3 + [0.4] * 2 + [0.1] * 4)
    threshold = best_threshold(truth, probabilities)
    assert threshold == pytest.approx(0.25)
    assert best_threshold(truth[:8], probabilities[:8]) == 0.5, "two without the label are too few"


def test_few_texts_change_nothing():
    truth, scores = honest(3, size=19)
    raw = softmax(scores)
    calibration = Calibration.of(truth, raw)
    assert calibration == Calibration.none() and calibration.apply(raw, several=False) == pytest.approx(raw)
    labels = np.eye(4, dtype=bool)[truth]
    assert Calibration.of(labels, raw).thresholds == (0.5,) * 4


def test_certain_and_wrong_stays_finite():
    truth = np.array([0, 1] * 20)
    raw = np.tile([1.0, 0.0], (40, 1))
    assert np.isfinite(warmed(raw, best_temperature(truth, raw), several=False)).all()
    assert np.isfinite(warmed(raw, 0.05, several=True)).all()


def test_json_and_back():
    calibration = Calibration(1.7, (0.4, 0.6), 120)
    assert Calibration.from_json(calibration.to_json()) == calibration
    with pytest.raises(ValueError, match="temperature of -1"):
        Calibration.from_json({**calibration.to_json(), "temperature": -1})
