"""Scores of classifications, against the truth: one class a text, several labels a text, or ranks.

Arrays: `truth` and `chosen` of one class a text are int [N] (number of the class); of several labels bool [N, K];
`probabilities` float [N, K]: over classes they sum to 1 in a row, of labels each is a probability of its own. Every
score agrees with scikit-learn's of that name, an undefined F1 (nothing true, nothing chosen) being left out of a mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Truth = NDArray[Any]

LARGER = frozenset({"accuracy", "macro F1", "micro F1", "subset accuracy", "quadratic kappa"})
"""The scores that are better when larger; the others are errors."""

_BINS = 15
_LEAST = 1e-15  # of a probability inside a logarithm


def accuracy(truth: Truth, chosen: Truth) -> float:
    """Share of texts whose class is right, 0 to 1; of several labels: whose labels are all right (subset accuracy)."""
    right = truth == chosen
    return float(right.mean() if right.ndim == 1 else right.all(1).mean())


def counts(truth: Truth, chosen: Truth, classes: int) -> tuple[Array, Array, Array]:
    """(true positives, false positives, false negatives), each [K]."""
    if truth.ndim == 1:
        both = np.bincount(truth[truth == chosen], minlength=classes).astype(np.float64)
        return both, np.bincount(chosen, minlength=classes) - both, np.bincount(truth, minlength=classes) - both
    both = (truth & chosen).sum(0).astype(np.float64)
    return both, chosen.sum(0) - both, truth.sum(0) - both


def f1(truth: Truth, chosen: Truth, classes: int) -> Array:
    """F1 of every class [K]: 2 TP / (2 TP + FP + FN); nan where the class is neither true nor chosen anywhere."""
    both, false, missed = counts(truth, chosen, classes)
    size = 2 * both + false + missed
    return np.asarray(np.divide(2 * both, size, out=np.full(classes, np.nan), where=size > 0))


def macro_f1(truth: Truth, chosen: Truth, classes: int) -> float:
    """Mean of the classes' F1, those that occur; nan where none does."""
    each = f1(truth, chosen, classes)
    return float(each[np.isfinite(each)].mean()) if np.isfinite(each).any() else float("nan")


def micro_f1(truth: Truth, chosen: Truth, classes: int) -> float:
    """F1 of all labels' decisions together; nan where nothing is true and nothing chosen."""
    both, false, missed = (float(each.sum()) for each in counts(truth, chosen, classes))
    size = 2 * both + false + missed
    return 2 * both / size if size else float("nan")


def log_losses(truth: Truth, probabilities: Array) -> Array:
    """-log of the probability of what is true, in nats, of each text [N]; of several labels their mean."""
    given = np.clip(probabilities, _LEAST, 1.0)
    if truth.ndim == 1:
        return np.asarray(-np.log(given[np.arange(len(truth)), truth]))
    other = np.clip(1 - probabilities, _LEAST, 1.0)
    return np.asarray(-np.where(truth, np.log(given), np.log(other)).mean(1))


def log_loss(truth: Truth, probabilities: Array) -> float:
    """Mean of `log_losses`."""
    return float(log_losses(truth, probabilities).mean())


def reliability(truth: Truth, probabilities: Array, bins: int = _BINS) -> tuple[Array, Array, Array]:
    """How often what is said with a probability is right, in bins of equal width.

    Args:
        truth: int [N], or bool [N, K].
        probabilities: [N, K]. One class a text: the largest of a row is looked at. Labels: each of them.
        bins: how many, 1 or more; those without a case are left out.

    Returns:
        (mean probability, share that is right, share of all cases) of each bin that is not empty.
    """
    if truth.ndim == 1:
        said, right = probabilities.max(1), probabilities.argmax(1) == truth
    else:
        said, right = probabilities.reshape(-1), truth.reshape(-1)
    place = np.clip(np.ceil(said * bins).astype(int) - 1, 0, bins - 1)
    size = np.bincount(place, minlength=bins).astype(np.float64)
    use = size > 0
    mean_said, mean_right = (np.bincount(place, each, minlength=bins)[use] / size[use] for each in (said, right))
    return mean_said, mean_right, size[use] / len(said)


def calibration_error(truth: Truth, probabilities: Array, bins: int = _BINS) -> float:
    """Expected calibration error, 0 to 1: mean distance between what is said and how often it is right, over bins.

    Source: Guo, Pleiss, Sun & Weinberger, On calibration of modern neural networks, arXiv 1706.04599, eq. 3.
    """
    said, right, share = reliability(truth, probabilities, bins)
    return float((share * np.abs(said - right)).sum())


def rank_error(truth: Truth, chosen: Truth) -> float:
    """Mean absolute error in ranks: how many steps the chosen class is from the true one."""
    return float(np.abs(truth - chosen).mean())


def quadratic_kappa(truth: Truth, chosen: Truth, classes: int) -> float:
    """Cohen's kappa with quadratic weights, -1 to 1; nan where truth and choice are one and the same class throughout.

    Source: Cohen, Weighted kappa, Psychological Bulletin 70 (1968).
    """
    seen = confusion(truth, chosen, classes).astype(np.float64)
    ranks = np.arange(classes)
    cost = (ranks[:, None] - ranks[None, :]) ** 2
    by_chance = (cost * np.outer(seen.sum(1), seen.sum(0))).sum() / len(truth)
    return float(1 - (cost * seen).sum() / by_chance) if by_chance else float("nan")


def confusion(truth: Truth, chosen: Truth, classes: int) -> NDArray[np.int64]:
    """[K, K] counts: row = the true class, column = the chosen one."""
    return np.bincount(truth * classes + chosen, minlength=classes * classes).reshape(classes, classes)


def scores(kind: str, truth: Truth, chosen: Truth, probabilities: Array) -> dict[str, float]:
    """Every score that fits the `kind`: "binary", "multi-class", "multi-label" or "ordinal"."""
    classes = probabilities.shape[1]
    both: dict[str, Callable[[], float]] = {
        "macro F1": lambda: macro_f1(truth, chosen, classes),
        "log loss": lambda: log_loss(truth, probabilities),
        "calibration error": lambda: calibration_error(truth, probabilities),
    }
    first: dict[str, Callable[[], float]] = {"accuracy": lambda: accuracy(truth, chosen)}
    if kind == "multi-label":
        first = {
            "micro F1": lambda: micro_f1(truth, chosen, classes),
            "subset accuracy": lambda: accuracy(truth, chosen),
        }
    if kind == "ordinal":
        first["rank error"] = lambda: rank_error(truth, chosen)
        first["quadratic kappa"] = lambda: quadratic_kappa(truth, chosen, classes)
    return {name: score() for name, score in {**first, **both}.items()}
