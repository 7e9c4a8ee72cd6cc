"""The shape of words: where they have capitals, small letters, digits and other signs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from gatework.data.text import Tokens

_RUN, _LONGEST = 2, 8  # signs that are kept of a run of one kind, and of a shape
_FIRST = 2  # 0 is padding, 1 a shape that training has not seen


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


def shapes_of(sentences: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The distinct shapes of words, in order of their names."""
    return tuple(sorted({shape(word) for word in {word for words in sentences for word in words}}))


def encode_shapes(names: Sequence[str], sentences: Sequence[Sequence[str]]) -> Tokens:
    """The number of each word's shape, from 2 on as in `names`; 1 for another shape."""
    numbers = {name: number for number, name in enumerate(names, _FIRST)}
    found = {word: numbers.get(shape(word), 1) for word in {word for words in sentences for word in words}}
    return Tokens.from_lists([[found[word] for word in words] for words in sentences])
