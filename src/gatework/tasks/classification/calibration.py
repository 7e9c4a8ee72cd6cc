"""Probabilities that hold what they say: a temperature, and the threshold of every label, fitted on the held-out part.

Source: Guo, Pleiss, Sun & Weinberger, On calibration of modern neural networks, arXiv 1706.04599, section 4.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatework.tasks.classification.scores import Array, Truth, log_loss

_LEAST = 1e-12  # of a probability inside a logarithm
_FEWEST = 20  # held-out texts below which nothing is fitted
_FEWEST_OF_A_LABEL = 5  # texts with the label, and without, below which its threshold stays at a half
_COLDEST, _HOTTEST, _STEPS = 0.05, 20.0, 60


@dataclass(frozen=True)
class Calibration:
    """What turns raw probabilities into those that are said, and those into a choice.

    Attributes:
        temperature: above 0; more than 1 makes the network less sure of itself, 1 changes nothing.
        thresholds: of every label, 0 to 1; empty where a text has one class.
        samples: held-out texts it was fitted on; 0 = fitted on none.
    """

    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()
    samples: int = 0

    @classmethod
    def none(cls, labels: int = 0) -> Calibration:
        """Changes nothing; a label is chosen from a half on."""
        return cls(thresholds=(0.5,) * labels)

    @classmethod
    def of(cls, truth: Truth, raw: Array) -> Calibration:
        """Fitted on held-out texts; with fewer than 20 of them it changes nothing.

        Args:
            truth: int [N] the class of each text, or bool [N, K] its labels.
            raw: [N, K] probabilities of the network, averaged over the members.
        """
        labels = raw.shape[1] if truth.ndim == 2 else 0
        if len(truth) < _FEWEST:
            return cls.none(labels)
        fitted = cls(temperature=best_temperature(truth, raw), samples=len(truth))
        if not labels:
            return fitted
        probabilities = fitted.apply(raw, several=True)
        return replace(
            fitted, thresholds=tuple(best_threshold(truth[:, k], probabilities[:, k]) for k in range(labels))
        )

    def apply(self, raw: Array, several: bool) -> Array:
        """Calibrated probabilities [N, K] of raw ones; `several` labels a text, or one class."""
        return warmed(raw, self.temperature, several)

    def choose(self, probabilities: Array) -> Truth:
        """The most probable class, int [N]; where there are thresholds the labels that reach theirs, bool [N, K]."""
        if self.thresholds:
            return probabilities >= np.asarray(self.thresholds)
        return np.asarray(probabilities.argmax(1))

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"temperature": self.temperature, "thresholds": list(self.thresholds), "samples": self.samples}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Calibration:
        """What `to_json` gave; KeyError, TypeError or ValueError when it is not that."""
        temperature = float(value["temperature"])
        if not temperature > 0:
            raise ValueError(f"a temperature of {temperature}, expected one above 0")
        return cls(temperature, tuple(float(each) for each in value["thresholds"]), int(value["samples"]))


def warmed(raw: Array, temperature: float, several: bool) -> Array:
    """Probabilities [N, K] at a temperature: softmax(log p / T) over classes, sigmoid(logit(p) / T) of labels."""
    inside = np.clip(raw.astype(np.float64), _LEAST, 1 - _LEAST)
    if several:
        return 1 / (1 + np.exp((np.log1p(-inside) - np.log(inside)) / temperature))
    scores = np.log(inside) / temperature
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def best_temperature(truth: Truth, raw: Array) -> float:
    """The temperature, 0.05 to 20, with the smallest log loss: golden-section search over its logarithm.

    The loss is convex in 1 / T, so it has one valley in log T and the search finds it.
    """
    several = truth.ndim == 2
    low, high = np.log(_COLDEST), np.log(_HOTTEST)
    golden = (np.sqrt(5) - 1) / 2

    def loss(log_temperature: float) -> float:
        return log_loss(truth, warmed(raw, float(np.exp(log_temperature)), several))

    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = loss(right)
        if high - low < 1e-4:
            break
    return float(np.exp((low + high) / 2))


def best_threshold(truth: NDArray[np.bool_], probabilities: Array) -> float:
    """The threshold with the largest F1 of one label [N], between two probabilities that occur; a half for few."""
    positive = int(truth.sum())
    if min(positive, len(truth) - positive) < _FEWEST_OF_A_LABEL:
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    sorted_probabilities = probabilities[order]
    both = np.cumsum(truth[order])
    score = 2 * both / (np.arange(1, len(truth) + 1) + positive)
    score[:-1][sorted_probabilities[:-1] == sorted_probabilities[1:]] = -1.0  # equal ones are chosen together or not
    last = int(score.argmax())
    below = sorted_probabilities[last + 1] if last + 1 < len(truth) else 0.0
    return float((sorted_probabilities[last] + below) / 2)
