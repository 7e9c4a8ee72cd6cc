"""Tagged sentences as tables: a row for each token, or for each entity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gatework.tasks.tagging.decoding import Sequenced
from gatework.tasks.text.inputs import Sentences

Columns = dict[str, list[Any]]
Found = Sequence[Sequence[Sequenced]]


def token_columns(sentences: Sentences, found: Found, ranked: bool) -> Columns:
    """A row for each token: sentence (from 1), token, tag, confidence; with `ranked`, of each way to tag it.

    A ranked table also has the columns `rank` (from 1) and `probability` of the whole sequence.
    """
    rows = [
        (number, rank, way.probability, word, tag, confidence)
        for number, words, rank, way in _ways(sentences, found)
        for word, tag, confidence in zip(words, way.tags, way.confidence, strict=True)
    ]
    return _chosen(("sentence", "rank", "probability", "token", "tag", "confidence"), rows, ranked)


def entity_columns(sentences: Sentences, found: Found, ranked: bool) -> Columns:
    """A row for each entity: sentence, first and last token (all from 1), text, type, confidence.

    A ranked table also has the columns `rank` (from 1) and `probability` of the whole sequence.
    """
    rows = [
        (number, rank, way.probability, start + 1, stop, " ".join(words[start:stop]), kind, confidence)
        for number, words, rank, way in _ways(sentences, found)
        for start, stop, kind, confidence in way.entities
    ]
    names = ("sentence", "rank", "probability", "first", "last", "text", "type", "confidence")
    return _chosen(names, rows, ranked)


def _ways(sentences: Sentences, found: Found) -> list[tuple[int, Sequence[str], int, Sequenced]]:
    return [
        (number, words, rank, way)
        for number, (words, ways) in enumerate(zip(sentences, found, strict=True), 1)
        for rank, way in enumerate(ways, 1)
    ]


def _chosen(names: Sequence[str], rows: Sequence[tuple[Any, ...]], ranked: bool) -> Columns:
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    return columns if ranked else {name: own for name, own in columns.items() if name not in ("rank", "probability")}
