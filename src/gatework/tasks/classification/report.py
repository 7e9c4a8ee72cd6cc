"""Scores of a classifier beside its baselines, with what helps to understand its mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from gatework.data.text import Documents
from gatework.tasks.classification.baselines import Baselines
from gatework.tasks.classification.fitted import FittedClassifier
from gatework.tasks.classification.highlights import MOST, highlights_page
from gatework.tasks.classification.scores import (
    LARGER,
    Array,
    Truth,
    calibration_error,
    confusion,
    f1,
    log_losses,
    reliability,
    scores,
)
from gatework.tasks.evaluation import Evaluation
from gatework.tasks.text.answers import frame

Columns = dict[str, list[Any]]

_WORST = 100  # rows of the table of mistakes
_EXPLAINED = 10  # of them, shown word by word: every word costs a run of the network
_SHOWN = 500  # characters of a text in that table


def evaluation(
    fitted: FittedClassifier, nets: Sequence[nn.Module], documents: Documents, baselines: Baselines, title: str
) -> Evaluation:
    """The scores on labelled documents, with plots, and a table and a page of the worst mistakes."""
    classes, truth = fitted.classes, fitted.classes.targets(documents)
    encoded = fitted.encode(documents.texts)
    fitted.say_unknown(encoded)
    probabilities = fitted.probabilities(nets, encoded)
    chosen = fitted.calibration.choose(probabilities)
    own = scores(classes.kind, truth, chosen, probabilities)
    wrong = mistakes(truth, chosen, probabilities)
    table = worst(fitted, documents, wrong, truth, chosen, probabilities)
    return Evaluation(
        title,
        own,
        baselines.score(documents),
        LARGER,
        {"calibration error": 0.0},
        figures={
            "reliability": _reliability(fitted, truth, probabilities),
            **_by_class(fitted, documents, baselines, truth, chosen),
        },
        tables={"worst": frame(table, None)},
        pages={"worst": _worst_page(fitted, nets, documents, wrong, truth)} if wrong else {},
    )


def mistakes(truth: Truth, chosen: Truth, probabilities: Array) -> list[int]:
    """Numbers of the texts whose choice is wrong, the least probable truth first."""
    wrong = truth != chosen if truth.ndim == 1 else (truth != chosen).any(1)
    return [int(number) for number in np.argsort(-log_losses(truth, probabilities), kind="stable") if wrong[number]]


def worst(
    fitted: FittedClassifier,
    documents: Documents,
    wrong: Sequence[int],
    truth: Truth,
    chosen: Truth,
    probabilities: Array,
) -> Columns:
    """The first of the `wrong` texts: place, truth, prediction, how sure of both, the text's beginning."""
    rows = list(wrong[:_WORST])
    classes = fitted.classes
    columns: Columns = {
        "place": [documents.places[row] for row in rows],
        "truth": classes.said(truth[rows]),
        "prediction": classes.said(chosen[rows]),
    }
    if not classes.several:
        columns["probability_of_truth"] = [float(probabilities[row, truth[row]]) for row in rows]
        columns["probability_of_prediction"] = [float(probabilities[row, chosen[row]]) for row in rows]
    columns["loss"] = log_losses(truth[rows], probabilities[rows]).tolist()
    columns["text"] = [documents.texts[row][:_SHOWN] for row in rows]
    return columns


def answers(fitted: FittedClassifier, nets: Sequence[nn.Module], documents: Documents) -> Columns:
    """The columns of a prediction: label, confidence, p_<class> of each class."""
    encoded = fitted.encode(documents.texts)
    fitted.say_unknown(encoded)
    found = fitted.probabilities(nets, encoded)
    columns: Columns = {"label": fitted.classes.said(fitted.calibration.choose(found))}
    columns["confidence"] = found.max(1).tolist()
    return columns | {f"p_{name}": found[:, place].tolist() for place, name in enumerate(fitted.classes.names)}


def words_page(fitted: FittedClassifier, nets: Sequence[nn.Module], documents: Documents) -> str:
    """What each word does to the prediction of each of the first 50 texts, as HTML."""
    shown = documents.subset(range(min(len(documents), MOST)))
    found = fitted.highlights(nets, shown.texts, shown.places)
    return highlights_page("What each word does", found, len(documents) - len(shown))


def _worst_page(
    fitted: FittedClassifier, nets: Sequence[nn.Module], documents: Documents, wrong: Sequence[int], truth: Truth
) -> str:
    rows = list(wrong[:_EXPLAINED])
    right = fitted.classes.said(truth[rows])
    notes = [f"{documents.places[row]}, truly {name or 'none'}" for row, name in zip(rows, right, strict=True)]
    found = fitted.highlights(nets, [documents.texts[row] for row in rows], notes)
    return highlights_page("The worst mistakes, and what each word did", found, len(wrong) - len(rows))


def _reliability(fitted: FittedClassifier, truth: Truth, probabilities: Array) -> dict[str, Any]:
    said, right, share = (each.tolist() for each in reliability(truth, probabilities))
    error = calibration_error(truth, probabilities)
    return {"said": said, "right": right, "share": share, "error": error, "temperature": fitted.calibration.temperature}


def _by_class(
    fitted: FittedClassifier, documents: Documents, baselines: Baselines, truth: Truth, chosen: Truth
) -> dict[str, dict[str, Any]]:
    """The plot that fits the kind: what is taken for what, or the F1 of every label."""
    names = fitted.classes.names
    if not fitted.classes.several:
        counts = confusion(truth, chosen, len(names)).tolist()
        return {"confusion": {"names": list(names), "counts": counts, "unit": "texts"}}
    name, guess = baselines.best(documents.texts)
    each, theirs = (np.nan_to_num(f1(truth, found, len(names))).tolist() for found in (chosen, guess))
    keys = ("label", "model", "baseline", "count")
    rows = [dict(zip(keys, row, strict=True)) for row in zip(names, each, theirs, truth.sum(0).tolist(), strict=True)]
    return {"f1_by_label": {"baseline": name, "rows": rows}}
