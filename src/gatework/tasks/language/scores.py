"""What is measured of a language model on a stream of tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from gatework.data.text.encoding import END, UNKNOWN
from gatework.errors import InputError
from gatework.say import say
from gatework.tasks.language import corpus
from gatework.tasks.language.ngrams import Ints, Reals, Trigrams

_BANDS = (0, 1, 10, 100, 1000, 10_000)  # times a token came in training: where the bands begin


def measures(nats: float, tokens: int, texts: Sequence[str]) -> dict[str, float]:
    """Scores that follow from the surprisal of all tokens of some texts, in nats.

    Bits are shared out over the characters and the words of the texts (runs between white space), whatever the tokens
    are, and so are comparable between kinds of tokens; the end of a text counts as a character.
    """
    mean, words = nats / tokens, sum(len(text.split()) for text in texts)
    bits = nats / math.log(2)
    return {
        "nats per token": mean,
        "perplexity": math.exp(mean) if mean < 700 else math.inf,
        "bits per character": bits / corpus.length(texts),
        "bits per word": bits / words if words else math.nan,
    }


def check_known(ids: Tensor, what: str) -> None:
    """Say how many tokens of a stream are unknown; InputError where nine in ten are, line ends not counted."""
    unknown, known = int((ids[1:] == UNKNOWN).sum()), int((ids[1:] > END).sum())
    if unknown and unknown >= 9 * known:
        raise InputError(
            f"{unknown} of {unknown + known} tokens of {what} are not in the model's vocabulary; is it of another "
            "language or script? Expected text like that of the training."
        )
    if unknown:
        share = 100 * unknown / (unknown + known)
        say(f"{what}: {unknown} tokens ({share:.2g} %) are not in the vocabulary; their spelling is not in the count")


def by_frequency(nats: Reals, targets: Ints, others: dict[str, Reals], counts: Trigrams) -> dict[str, Any]:
    """Mean surprisal in bits, and share of the tokens, by how often a token came in training."""
    seen = counts.frequencies[targets]
    band = np.searchsorted(_BANDS, seen, side="right") - 1
    number = np.bincount(band, minlength=len(_BANDS))
    there = [place for place in range(len(_BANDS)) if number[place]]

    def means(values: Reals) -> list[float]:
        sums = np.bincount(band, weights=values, minlength=len(_BANDS)) / math.log(2)
        return [float(sums[place] / number[place]) for place in there]

    return {
        "bands": [_band(place) for place in there],
        "share": [float(number[place] / len(targets)) for place in there],
        "model": means(nats),
        "baselines": {name: means(values) for name, values in others.items()},
    }


def _band(place: int) -> str:
    if place + 1 == len(_BANDS):
        return f"{_BANDS[place]:,} or more"
    first, last = _BANDS[place], _BANDS[place + 1] - 1
    return f"{first}" if first == last else f"{first:,} to {last:,}"
