"""Sentences with their true tags beside a model's and the baseline's: scores, plots and tables of a tagger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gatework.data.text.schemes import PLAIN, Span, spans
from gatework.tasks.evaluation import Evaluation
from gatework.tasks.tagging.most_frequent import MOST_FREQUENT
from gatework.tasks.tagging.span_scores import Quality, SpanScores

Tags = Sequence[Sequence[str]]
_WORST = 30
_SHOWN = 40  # wrong tokens or entities written out in a row of the worst sentences


@dataclass
class Tagging:
    """Tags of S sentences.

    Attributes:
        sentences: their words.
        truth: the true tags.
        found: the model's.
        simple: the baseline's.
        scheme: how the tags spell entities (BIO, BIOES, BILOU ...), or "plain" where they spell none.
        known: words of the training part.
        places: where each sentence stands in its file.
    """

    sentences: Tags
    truth: Tags
    found: Tags
    simple: Tags
    scheme: str
    known: frozenset[str]
    places: Sequence[str]

    def evaluation(self, title: str) -> Evaluation:
        """Every score of the model and of the baseline; entities' come first where there are any."""
        ours, theirs = self._qualities(self.found), self._qualities(self.simple)
        scores, simple = self._scores(self.found, ours), self._scores(self.simple, theirs)
        figures: dict[str, dict[str, Any]] = {
            "f1_by_label": {
                "baseline": MOST_FREQUENT,
                "rows": [
                    {"label": label, "count": q.true, "model": q.f1, "baseline": theirs.types.get(label, _NONE).f1}
                    for label, q in ours.types.items()
                ],
            },
            "confusion": confusion(self.truth, self.found),
        }
        return Evaluation(
            title,
            scores,
            {MOST_FREQUENT: simple},
            larger=frozenset(scores),
            figures=figures,
            tables=self._tables(ours, theirs),
        )

    def _qualities(self, found: Tags) -> SpanScores:
        """Of each type of entity; of each tag where there are no entities."""
        if self.scheme == PLAIN:
            return SpanScores.of(map(_each, self.truth), map(_each, found))
        return SpanScores.of(self._spans(self.truth), self._spans(found))

    def _spans(self, tags: Tags) -> list[list[Span]]:
        return [spans(list(own), self.scheme) for own in tags]

    def _scores(self, found: Tags, qualities: SpanScores) -> dict[str, float]:
        pairs = list(zip(self.truth, found, strict=True))
        words = sum(len(own) for own in self.truth)
        right = sum(a == b for truth, own in pairs for a, b in zip(truth, own, strict=True))
        whole = sum(list(truth) == list(own) for truth, own in pairs) / max(len(pairs), 1)
        accuracy = right / max(words, 1)
        if self.scheme != PLAIN:
            micro = qualities.micro
            head = {"F1": micro.f1, "precision": micro.precision, "recall": micro.recall}
            rest = {"token accuracy": accuracy, "sentence accuracy": whole}
            return {**head, "macro F1": qualities.macro()[2], **rest}
        scores = {"accuracy": accuracy, "macro F1": qualities.macro()[2], "sentence accuracy": whole}
        unseen = [
            a == b
            for sentence, (truth, own) in zip(self.sentences, pairs, strict=True)
            for word, a, b in zip(sentence, truth, own, strict=True)
            if word not in self.known
        ]
        return {**scores, "accuracy on unseen words": sum(unseen) / len(unseen)} if unseen else scores

    def _tables(self, ours: SpanScores, theirs: SpanScores) -> dict[str, Any]:
        """Frames: "labels", the quality of each; "worst", the sentences with most errors; "predictions"."""
        import pandas as pd

        labels = [
            (label, q.precision, q.recall, q.f1, q.true, q.found, theirs.types.get(label, _NONE).f1)
            for label, q in ours.types.items()
        ]
        rows = [
            (number + 1, word, truth, own)
            for number, sentence in enumerate(zip(self.sentences, self.truth, self.found, strict=True))
            for word, truth, own in zip(*sentence, strict=True)
        ]
        return {
            "labels": pd.DataFrame(
                labels, columns=["label", "precision", "recall", "f1", "true", "found", "baseline_f1"]
            ),
            "worst": pd.DataFrame(
                self._worst(), columns=["place", "wrong", "tokens", "sentence", "missed", "invented"]
            ),
            "predictions": pd.DataFrame(rows, columns=["sentence", "token", "truth", "tag"]),
        }

    def _worst(self) -> list[tuple[str, int, int, str, str, str]]:
        """Sentences with the most wrong entities (tags, where there are none), the shorter first of equals."""
        read = _each if self.scheme == PLAIN else lambda own: spans(list(own), self.scheme)
        rows = []
        for place, words, truth, found in zip(self.places, self.sentences, self.truth, self.found, strict=True):
            if list(truth) != list(found):
                expected, given = set(read(truth)), set(read(found))
                missed, invented = sorted(expected - given), sorted(given - expected)
                wrong = max(len(missed), len(invented))
                rows.append(
                    (place, wrong, len(words), " ".join(words), _written(missed, words), _written(invented, words))
                )
        return sorted(rows, key=lambda row: (-row[1], row[2]))[:_WORST]


_NONE = Quality(0, 0, 0)


def accuracy(truth: Tags, found: Tags) -> float:
    """Share of the tokens whose tag is right; 0 where there are none."""
    right = [a == b for one, other in zip(truth, found, strict=True) for a, b in zip(one, other, strict=True)]
    return sum(right) / max(len(right), 1)


def span_f1(truth: Tags, found: Tags, scheme: str) -> float:
    """F1 of the entities that tags of `scheme` spell."""
    read = [[spans(list(own), scheme) for own in tags] for tags in (truth, found)]
    return SpanScores.of(*read).micro.f1


def confusion(truth: Tags, found: Tags) -> dict[str, Any]:
    """Counts of (true tag, tag found) as the plot `confusion` takes them; the most frequent true tags first."""
    pairs = Counter((a, b) for one, other in zip(truth, found, strict=True) for a, b in zip(one, other, strict=True))
    occurs = Counter[str]()
    for (true, given), count in pairs.items():
        occurs[true] += count
        occurs[given] += 0
    names = [name for name, _ in occurs.most_common()]
    return {"names": names, "counts": [[pairs[true, given] for given in names] for true in names], "unit": "tokens"}


def _each(tags: Sequence[str]) -> list[Span]:
    """Every token as a span of its own."""
    return [(place, place + 1, tag) for place, tag in enumerate(tags)]


def _written(found: Sequence[Span], words: Sequence[str]) -> str:
    shown = [f"{' '.join(words[start:stop])} ({kind})" for start, stop, kind in found[:_SHOWN]]
    return "; ".join(shown) + (" ..." if len(found) > _SHOWN else "")
