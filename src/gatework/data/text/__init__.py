"""Text: files to documents, corpora and tagged sentences; vocabularies; ids in batches."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gatework.data.text.buckets import Buckets as Buckets
    from gatework.data.text.corpus import read_corpus as read_corpus
    from gatework.data.text.documents import Documents as Documents
    from gatework.data.text.documents import read_documents as read_documents
    from gatework.data.text.encoding import Tokens as Tokens
    from gatework.data.text.streams import Streams as Streams
    from gatework.data.text.synth import synthetic_corpus as synthetic_corpus
    from gatework.data.text.synth import synthetic_reviews as synthetic_reviews
    from gatework.data.text.synth import synthetic_tagged as synthetic_tagged
    from gatework.data.text.tagged import Tagged as Tagged
    from gatework.data.text.tagged import read_tagged as read_tagged
    from gatework.data.text.tokenise import words as words
    from gatework.data.text.vectors import read_vectors as read_vectors
    from gatework.data.text.vocabulary import Vocabulary as Vocabulary
    from gatework.data.text.vocabulary import learn_vocabulary as learn_vocabulary

_PLACES = {
    "Buckets": "buckets",
    "Documents": "documents",
    "Streams": "streams",
    "Tagged": "tagged",
    "Tokens": "encoding",
    "Vocabulary": "vocabulary",
    "learn_vocabulary": "vocabulary",
    "read_corpus": "corpus",
    "read_documents": "documents",
    "read_tagged": "tagged",
    "read_vectors": "vectors",
    "synthetic_corpus": "synth",
    "synthetic_reviews": "synth",
    "synthetic_tagged": "synth",
    "words": "tokenise",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'gatework.data.text' has no attribute {name!r}; it has {', '.join(__dir__())}")
    return getattr(importlib.import_module(f"gatework.data.text.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(_PLACES)
