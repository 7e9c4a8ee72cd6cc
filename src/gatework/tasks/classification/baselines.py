"""What a classifier has to beat: always the most frequent class, and a linear model on counts of words and word pairs.

The linear model (TF-IDF of single words and pairs, logistic regression) is scikit-learn's, imported only here. It is
kept as its terms and weights, so that it can be scored again on other texts; nothing is pickled.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gatework.say import say
from gatework.tasks.classification.classes import Classes
from gatework.tasks.classification.scores import Array, Truth, scores

if TYPE_CHECKING:
    from gatework.data.text import Documents
    from gatework.run import Run

LINEAR = "TF-IDF + logistic regression"
MAJORITY = "most frequent class"

_TERMS, _WEIGHTS = "model/baseline.json", "model/baseline.safetensors"
_MOST_TERMS = 200_000
_MOST_TEXTS = 50_000  # the linear model is fitted on a sample of so many: more hardly change it, and cost minutes
_MANY = 1000  # texts from which on a term must stand in two of them
_PAIRS = (1, 2)
_STRENGTH, _STEPS = 10.0, 300  # inverse of the penalty, and the most steps of the solver
_NEVER = -30.0  # bias of a class that does not occur


@dataclass
class Linear:
    """A fitted linear model: terms, how rare each is, a weight of each for every class."""

    terms: Sequence[str]
    rarity: Array  # [F] inverse document frequencies
    weights: Array  # [K, F]
    bias: Array  # [K]

    @classmethod
    def of(cls, texts: Sequence[str], truth: Truth, classes: int, seed: int) -> Linear:
        """Fitted on texts with their class (int [N]) or labels (bool [N, K])."""
        vectors = _vectors(min_df=2 if len(texts) >= _MANY else 1, max_features=_MOST_TERMS)
        counted = vectors.fit_transform(texts)
        weights, bias = np.zeros((classes, counted.shape[1])), np.full(classes, _NEVER)
        if truth.ndim == 1:
            places, weights_of, bias_of = _regression(counted, truth, seed)
            weights[places], bias[places] = weights_of, bias_of
        else:
            for label in range(classes):
                places, weights_of, bias_of = _regression(counted, truth[:, label].astype(np.int64), seed)
                if 1 in places:  # the row of "has it", that of "has it not" being zero
                    weights[label], bias[label] = weights_of[-1], bias_of[-1] if len(places) == 2 else -_NEVER
        terms = [str(term) for term in vectors.get_feature_names_out()]
        return cls(terms, vectors.idf_, weights, bias)

    def probabilities(self, texts: Sequence[str], several: bool) -> Array:
        """Of every class [N, K]."""
        vectors = _vectors(vocabulary=list(self.terms))
        vectors.idf_ = self.rarity
        values = np.asarray(vectors.transform(texts) @ self.weights.T + self.bias)
        if several:
            return np.asarray(1 / (1 + np.exp(-values)))
        powers = np.exp(values - values.max(1, keepdims=True))
        return np.asarray(powers / powers.sum(1, keepdims=True))


def _regression(counted: Any, truth: Truth, seed: int) -> tuple[Truth, Array, Array]:
    """Logistic regression: the classes that occur [K'], their weights [K', F] and biases [K']."""
    from sklearn.linear_model import LogisticRegression

    places = np.unique(truth)
    if len(places) == 1:
        return places, np.zeros((1, counted.shape[1])), np.zeros(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes is greater")  # said by the classes themselves
        model = LogisticRegression(C=_STRENGTH, max_iter=_STEPS, random_state=seed).fit(counted, truth)
    weights, bias = model.coef_, model.intercept_
    if len(places) == 2:  # scikit-learn gives the second class alone
        weights, bias = np.concatenate([np.zeros_like(weights), weights]), np.concatenate([np.zeros(1), bias])
    return places, weights, bias


@dataclass
class Baselines:
    """The baselines of one training part.

    Attributes:
        classes: what there is to choose from.
        share: how often each class occurs [K].
        linear: None where scikit-learn is not installed.
    """

    classes: Classes
    share: Array
    linear: Linear | None

    @classmethod
    def of(cls, documents: Documents, classes: Classes, seed: int) -> Baselines:
        """Fitted on the documents; without scikit-learn there is only the first, and this is said."""
        truth = classes.targets(documents)
        share = truth.mean(0) if classes.several else np.bincount(truth, minlength=len(classes)) / len(truth)
        if importlib.util.find_spec("sklearn") is None:
            say("scikit-learn is not installed, so there is no TF-IDF baseline; pip install scikit-learn brings it")
            return cls(classes, share, None)
        texts: Sequence[str] = documents.texts
        if len(texts) > _MOST_TEXTS:
            drawn = np.sort(np.random.default_rng(seed).permutation(len(texts))[:_MOST_TEXTS])
            say(f"the baseline {LINEAR} is fitted on {_MOST_TEXTS} of the {len(texts)} texts")
            texts, truth = [texts[number] for number in drawn], truth[drawn]
        return cls(classes, share, Linear.of(texts, truth, len(classes), seed))

    def score(self, documents: Documents) -> dict[str, dict[str, float]]:
        """{baseline: {metric: score}} on labelled documents."""
        truth = self.classes.targets(documents)
        return {
            name: scores(self.classes.kind, truth, self._choose(guess), guess)
            for name, guess in self._guesses(documents.texts).items()
        }

    def best(self, texts: Sequence[str]) -> tuple[str, Truth]:
        """The name of the strongest baseline, and what it chooses."""
        name, guess = list(self._guesses(texts).items())[-1]
        return name, self._choose(guess)

    def _guesses(self, texts: Sequence[str]) -> dict[str, Array]:
        guesses = {MAJORITY: np.tile(self.share, (len(texts), 1))}
        if self.linear is not None:
            guesses[LINEAR] = self.linear.probabilities(texts, self.classes.several)
        return guesses

    def _choose(self, guess: Array) -> Truth:
        return guess >= 0.5 if self.classes.several else guess.argmax(1)

    def save(self, run: Run) -> None:
        """Into the run's model/."""
        linear = self.linear
        run.write_json(_TERMS, {"share": self.share.tolist(), "terms": None if linear is None else list(linear.terms)})
        if linear is not None:
            import torch

            arrays = {"rarity": linear.rarity, "weights": linear.weights, "bias": linear.bias}
            run.write_tensors(_WEIGHTS, {name: torch.from_numpy(array).float() for name, array in arrays.items()})

    @classmethod
    def load(cls, run: Run, classes: Classes) -> Baselines:
        """From the run's model/; the linear one only where scikit-learn is installed."""
        kept: Mapping[str, Any] = run.read_json(_TERMS)
        share = np.asarray(kept["share"], dtype=np.float64)
        if kept["terms"] is None or importlib.util.find_spec("sklearn") is None:
            return cls(classes, share, None)
        arrays = {name: tensor.double().numpy() for name, tensor in run.read_tensors(_WEIGHTS).items()}
        return cls(classes, share, Linear(kept["terms"], arrays["rarity"], arrays["weights"], arrays["bias"]))


def _vectors(**settings: Any) -> Any:
    """What counts words and pairs: any run of letters and digits is a word, however short, and so is any other sign."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(ngram_range=_PAIRS, sublinear_tf=True, token_pattern=r"\w+|[^\w\s]", **settings)
