"""The public text corpora of the classification and tagging benchmarks, in their official splits.

The files stand in $GATEWORK_DATA (default ../shared/data beside the repository).
"""

from __future__ import annotations

import csv
import gzip
from dataclasses import dataclass
from typing import Any

import pandas as pd
from datasets import DATA

Sentences = list[tuple[list[str], list[str]]]
"""Words and tags of each sentence."""


@dataclass(frozen=True)
class Parts:
    """Data in the form that `fit` and `evaluate` take.

    Attributes:
        train: to train on.
        validation: to stop early by; None where the corpus has no such part, and `fit` holds out some of `train`.
        test: looked at once.
    """

    train: Any
    validation: Any
    test: Any


def sst2() -> Parts:
    """Sentences with their sentiment, 6,920 / 872 / 1,821; without the phrases."""
    return Parts(*(_sentences(f"sst2.{part}") for part in ("train", "dev", "test")))


def trec() -> Parts:
    """Questions with one of six types, 5,452 / 500; nothing to validate on."""
    return Parts(_sentences("trec.train"), None, _sentences("trec.test"))


def imdb() -> Parts:
    """Reviews with their sentiment, 25,000 and the 5,000 of the test part that the file holds; without `<br />`."""
    train, test = (_table(f"imdb/{part}.tsv.xz", header=0)[["text", "label"]] for part in ("train", "test_5000"))
    for frame in (train, test):
        frame["text"] = frame["text"].str.replace("<br />", " ", regex=False)
    return Parts(train, None, test)


def snips_intent() -> Parts:
    """Commands with one of seven intents, 13,084 / 700 / 700."""
    return Parts(*(_snips(part)[["tokens", "intent"]] for part in ("train", "valid", "test")))


def snips_slots() -> Parts:
    """The same commands with the slot of each word, in BIO."""
    return Parts(*(_pairs(_snips(part)) for part in ("train", "valid", "test")))


def ewt() -> Parts:
    """Words with their universal part of speech, 12,544 / 2,001 / 2,077 sentences."""
    return Parts(*(_columns(f"ud_english_ewt/{part}.tsv.gz") for part in ("train", "dev", "test")))


def ncbi() -> Parts:
    """Words of abstracts with the diseases they name, in BIO, 5,424 / 923 / 940 sentences."""
    return Parts(*(_columns(f"ncbi_disease/{part}.tsv.gz") for part in ("train", "devel", "test")))


def _sentences(name: str) -> pd.DataFrame:
    return _table(f"sentence_classification/{name}.tsv.gz", names=["label", "text"])[["text", "label"]]


def _snips(part: str) -> pd.DataFrame:
    return _table(f"snips/{part}.tsv.gz", header=0)


def _table(path: str, **options: Any) -> pd.DataFrame:
    return pd.read_csv(DATA / path, sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False, dtype=str, **options)


def _pairs(frame: pd.DataFrame) -> Sentences:
    return [(words.split(), slots.split()) for words, slots in zip(frame["tokens"], frame["slots"], strict=True)]


def _columns(path: str) -> Sentences:
    """Sentences of a file with a word a line, its tag in the second column, and a blank line after each sentence."""
    with gzip.open(DATA / path, "rt", encoding="utf-8") as file:
        blocks = file.read().strip().split("\n\n")
    rows = [[line.split("\t") for line in block.splitlines()] for block in blocks]
    return [([row[0] for row in lines], [row[1] for row in lines]) for lines in rows]
