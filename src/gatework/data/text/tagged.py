"""Sentences with a tag for each token, from column files, tables, JSON lines and lists."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gatework.data.packing import ending
from gatework.data.text.columns import TABLE_ENDINGS
from gatework.data.text.conll import Kept, is_column_file, read_conll
from gatework.data.text.tagged_table import read_table
from gatework.data.text.textfile import is_text, read_text
from gatework.data.text.tokenise import words
from gatework.data.wording import counted
from gatework.errors import InputError


@dataclass(frozen=True)
class Tagged:
    """N sentences.

    Args:
        sentences: the tokens of each.
        tags: as many for each sentence, None where there are none.
        places: where each sentence came from ("train.tsv line 17").
        letters: whether each letter of a cell is a token, as in sequences of amino acids.
    """

    sentences: list[list[str]]
    tags: list[list[str]] | None
    places: list[str]
    letters: bool = False

    def __len__(self) -> int:
        return len(self.sentences)

    def subset(self, numbers: Sequence[int]) -> Tagged:
        """Some of them, in the order of `numbers`."""
        tags = None if self.tags is None else [self.tags[i] for i in numbers]
        sentences, places = [self.sentences[i] for i in numbers], [self.places[i] for i in numbers]
        return replace(self, sentences=sentences, tags=tags, places=places)

    def data_hash(self) -> str:
        """SHA-256 of tokens and tags: the same data give the same hash whatever frame or file they came in."""
        digest = hashlib.sha256()
        for number, tokens in enumerate(self.sentences):
            for part in (tokens, self.tags[number] if self.tags else []):
                data = "\0".join(part).encode("utf-8", "surrogatepass")
                digest.update(len(data).to_bytes(8, "little") + data)
        return digest.hexdigest()


def read_tagged(
    source: Any,
    token_column: str | int | None = None,
    tag_column: str | int | None = None,
    labelled: bool = True,
    letters: bool | None = None,
    argument: str = "data",
) -> Tagged:
    """Sentences and, where `labelled`, a tag for each token; what is not given is inferred and said.

    Args:
        source: one of
            a column file (CoNLL): a token and its tag a line between tabs or spaces, a blank line after each sentence;
            a table (.csv, .tsv, .jsonl, each also .gz or .xz, .parquet, or a pandas, polars or arrow frame) with a row
            a sentence, its tokens and tags each in one cell between spaces or as a list, or with a row a token and a
            column `sentence` that tells sentences apart;
            JSON lines with `text` and `spans`, [{"start": 0, "end": 4, "label": "PER"}], in characters: each token that
            a span touches is part of it, tags are BIO;
            list of (tokens, tags) pairs; without tags also list of token lists or of texts, .txt with a text a line, or
            a text of several words itself.
        token_column: name of the column of tokens, or its number from 1 (default: known by its name, else the first).
        tag_column: the same for the tags (default: known by its name, else the last).
        labelled: whether tags are read.
        letters: whether each letter of a cell or text is a token (default: in tables where each has a tag, said).
        argument: what `source` is called in messages.

    Raises:
        InputError: the data cannot be used, tokens and tags are not equally many among it; the message names the
            place and how to mend it.
    """
    if not labelled and is_text(source):
        source = [source]
    if isinstance(source, Tagged):
        if labelled and source.tags is None:
            raise InputError(f"{argument} holds sentences without tags. Expected a tag for each token.")
        return source if labelled else replace(source, tags=None)
    if isinstance(source, list | tuple):
        return _of_list(source, labelled, letters, argument)
    if isinstance(source, str | Path):
        path = Path(source)
        if ending(path) not in TABLE_ENDINGS or ending(path) == ".tsv":
            text = read_text(path)
            if not letters and is_column_file(text, ending(path), labelled):
                return _filled(read_conll(path, text, token_column, tag_column, labelled))
            if not labelled and ending(path) != ".tsv":
                lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
                places = [f"{path.name} line {number}" for number, _ in lines]
                return Tagged([_cut(line, letters) for _, line in lines], None, places, bool(letters))
    kept, apart = read_table(source, token_column, tag_column, labelled, letters, argument)
    return replace(_filled(kept), letters=apart)


def _filled(kept: Kept) -> Tagged:
    sentences, tags, places = kept
    if tags is None:
        return Tagged(sentences, None, places)
    for tokens, own, place in zip(sentences, tags, places, strict=True):
        if len(tokens) != len(own):
            raise InputError(
                f"{place} has {counted(len(tokens), 'token')} but {counted(len(own), 'tag')}, tokens "
                f"{' '.join(tokens)[:60]!r}. Expected a tag for each token; mend that sentence."
            )
    return Tagged(sentences, tags, places)


def _of_list(source: Sequence[Any], labelled: bool, letters: bool | None, argument: str) -> Tagged:
    if not source:
        raise InputError(f"{argument} is empty. Expected sentences.")
    places = [f"{argument} item {number}" for number in range(1, len(source) + 1)]
    if all(isinstance(item, tuple) and len(item) == 2 and not isinstance(item[0], str) for item in source):
        sentences = [_strings(item[0], place) for item, place in zip(source, places, strict=True)]
        tags = [_strings(item[1], place) for item, place in zip(source, places, strict=True)] if labelled else None
        return _filled((sentences, tags, places))
    if labelled:
        raise InputError(f"{argument} holds sentences without tags. Expected pairs, [(tokens, tags), ...].")
    sentences = [
        _cut(item, letters) if isinstance(item, str) else _strings(item, place)
        for item, place in zip(source, places, strict=True)
    ]
    return Tagged(sentences, None, places, bool(letters))


def _cut(text: str, letters: bool | None) -> list[str]:
    return list(text.strip()) if letters else words(text)


def _strings(value: Any, place: str) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise InputError(f"{place} holds {str(value)[:40]!r}. Expected a list of texts, one for each token.")
    return list(value)
