"""Sentences with a tag for each token."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tagged:
    """N sentences.

    Args:
        sentences: the tokens of each.
        tags: as many for each sentence, None where there are none.
        places: where each sentence came from ("train.tsv line 17").
    """

    sentences: list[list[str]]
    tags: list[list[str]] | None
    places: list[str]

    def __len__(self) -> int:
        return len(self.sentences)
