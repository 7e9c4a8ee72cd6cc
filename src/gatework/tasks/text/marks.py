"""Marks of a word: its shape, its first and its last letters. They tell kinds of words that were never seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

import torch
from torch import Tensor

_RUN, _LONGEST = 2, 8  # signs that are kept of a run of one kind, and of a shape
_ENDS = (2, 3, 4)  # letters of a beginning and an end
MARKS = 1 + 2 * len(_ENDS)
"""How many a word has."""

OTHERS = 2
"""Numbers that stand for no mark: 0 is padding, 1 a mark that training lacks."""


def shape(word: str) -> str:
    """A word's shape: X a capital, x another letter, d a digit, other signs as they are; long runs are cut.

    Source: Collobert et al., Natural language processing (almost) from scratch, JMLR 12 (2011), section 3.2.2 (features
    of capitals); runs are cut as in Bikel et al., Nymble, ANLP 1997, section 3.2.

    Example:
        >>> shape("McDonald's"), shape("1995-96"), shape("IL-2")
        ("XxXxx'x", 'dd-dd', 'XX-d')
    """
    signs = ("X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word)
    return "".join("".join(run)[:_RUN] for _, run in groupby(signs))[:_LONGEST]


def marks(word: str) -> list[str]:
    """The shape, then beginnings and ends of 2, 3 and 4 letters in small ones.

    Example:
        >>> marks("Painting")
        ['Xxx', '<pa', '<pai', '<pain', 'ng>', 'ing>', 'ting>']
    """
    small = word.lower()
    return [shape(word), *(f"<{small[:size]}" for size in _ENDS), *(f"{small[-size:]}>" for size in _ENDS)]


def learn_marks(sentences: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Those that two or more distinct words have."""
    counts = Counter(mark for word in {word for words in sentences for word in words} for mark in set(marks(word)))
    return tuple(sorted(mark for mark, count in counts.items() if count > 1))


def mark_table(names: Sequence[str], words: Sequence[str]) -> Tensor:
    """Numbers of the marks of each word, long [F, M], from 2 on in the order of `names`; "" has zeros."""
    numbers = {name: number for number, name in enumerate(names, OTHERS)}
    rows = [[numbers.get(mark, 1) for mark in marks(word)] if word else [0] * MARKS for word in words]
    return torch.tensor(rows, dtype=torch.long)
