"""Labelled texts to train on, those held out, and texts without labels."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gatework.data.text import Documents


@dataclass(frozen=True)
class Parts:
    """The data of a fit.

    Attributes:
        train: labelled texts to train on.
        held: labelled texts to stop early, calibrate and score with; None where nothing is held out.
        unlabelled: further texts, for a language model.
        given: the labelled data as they were given, without validation data.
    """

    train: Documents
    held: Documents | None
    unlabelled: Sequence[str]
    given: Documents

    @classmethod
    def of(
        cls, data: Documents, validation: Documents | None, unlabelled: Sequence[str], percent: int, seed: int
    ) -> Parts:
        """The data with their validation data, or with `percent` of them held out where there are none."""
        train, held = (data, validation) if validation is not None else divide(data, percent, seed)
        return cls(train, held, unlabelled, data)

    @property
    def whole(self) -> Documents:
        """Both labelled parts."""
        if self.held is None:
            return self.train
        train, held = self.train, self.held
        labels = [*(train.labels or []), *(held.labels or [])]
        return replace(train, texts=train.texts + held.texts, labels=labels, places=train.places + held.places)

    @property
    def every_text(self) -> list[str]:
        """What a language model may be trained on: everything but the held-out part."""
        return [*self.train.texts, *self.unlabelled]

    def data_hash(self) -> str:
        """Of every text and label, and which part it is in."""
        digest = hashlib.sha256(f"{self.given.data_hash()} {self.train.data_hash()}".encode())
        digest.update(self.held.data_hash().encode() if self.held is not None else b"-")
        for text in self.unlabelled:
            data = text.encode("utf-8", "surrogatepass")
            digest.update(f" {len(data)} ".encode() + data)
        return digest.hexdigest()


def divide(documents: Documents, percent: int, seed: int) -> tuple[Documents, Documents | None]:
    """The documents to train on and those held out: `percent` of every class, drawn at random.

    Equal texts stay together, so that nothing of the held-out part has been seen; their first labels decide their
    class. Of every class at least one text stays to be trained on.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for number, text in enumerate(documents.texts):
        rows[text].append(number)
    by_class: dict[tuple[str, ...], list[list[int]]] = defaultdict(list)
    for equal in rows.values():
        by_class[documents.labels[equal[0]] if documents.labels else ()].append(equal)
    draw = random.Random(seed)
    out: set[int] = set()
    owed = 0.0  # carried from class to class, so that many small ones together give their share
    for _, groups in sorted(by_class.items()):
        draw.shuffle(groups)
        owed += sum(map(len, groups)) * percent / 100
        for group in groups[:-1]:
            if len(group) > owed + 0.5:
                break
            out.update(group)
            owed -= len(group)
    kept = [number for number in range(len(documents)) if number not in out]
    return (documents.subset(kept), documents.subset(sorted(out))) if out else (documents, None)
