"""Word vectors from a text file, as GloVe, word2vec and fastText write them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gatework.data.packing import named_errors, open_packed
from gatework.data.wording import counted
from gatework.errors import InputError
from gatework.say import say


def read_vectors(path: str | Path, words: Sequence[str], size: int | None = None) -> tuple[Tensor, Tensor]:
    """The vectors of some words.

    A line holds a word and its numbers between spaces; a first line of two whole numbers, as word2vec and fastText have
    it, is passed over. A word that is not there as it is written is looked for in small letters. Vectors of words
    that are not asked for are not kept in memory.

    Args:
        path: the file, also packed (.gz, .xz).
        words: V words.
        size: the dimension D that the vectors must have; default: whatever they have.

    Returns:
        vectors, float32 [V, D], zero where not found | found, bool [V].

    Raises:
        InputError: missing, empty; a line with other numbers than the first or with none (it is named);
            another dimension than `size`; none of the words is there.
    """
    path = Path(path)
    wanted: dict[bytes, list[int]] = {}  # where each word is to go, as it is written and in small letters
    for place, word in enumerate(words):
        for written in {word, word.lower()}:
            wanted.setdefault(written.encode("utf-8", "surrogatepass"), []).append(place)
    spelt = [word.encode("utf-8", "surrogatepass") for word in words]
    found, exact = np.zeros(len(words), dtype=bool), np.zeros(len(words), dtype=bool)
    vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]] | None = None
    width = 0
    with named_errors(path), open_packed(path) as file:
        for number, line in enumerate(file, 1):
            token, _, rest = line.rstrip().removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").partition(b" ")
            if vectors is None:
                if number == 1 and rest.isdigit() and token.isdigit():
                    continue
                width = len(rest.split())
                _check_width(path, number, width, size)
                vectors = np.zeros((len(words), width), dtype=np.float32)
            places = wanted.get(token)
            if places is None and rest.count(b" ") == width - 1:
                continue
            values = _numbers(path, number, line, width)
            if places is None:
                continue  # a token with spaces inside, as some files hold
            for place in places:
                if not exact[place]:
                    exact[place], found[place] = spelt[place] == token, True
                    vectors[place] = values
    if vectors is None:
        raise InputError(f"{path} is empty. Expected a word and its numbers a line.")
    if not found.any():
        raise InputError(
            f"{path} has none of the {counted(len(words), 'word')}, the first {words[0]!r}. Expected vectors of words "
            "of this text; is it of another language, or lower case?"
        )
    say(f"vectors: {width} numbers a word, for {found.sum()} of {len(words)} words ({found.mean():.0%}), {path.name}")
    return torch.from_numpy(vectors), torch.from_numpy(found)


def _check_width(path: Path, number: int, width: int, size: int | None) -> None:
    if width < 2:
        raise InputError(
            f"line {number} of {path} has {counted(width, 'number')} after its word. Expected a word and the same "
            "count of numbers, 2 or more, in every line; is it a file of vectors in text?"
        )
    if size is not None and width != size:
        raise InputError(
            f"{path} has vectors of {width} numbers; the embedding has size {size}. Expected the same; set the "
            f"embedding size to {width}, or take a file of {size}."
        )


def _numbers(path: Path, number: int, line: bytes, width: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """The last `width` numbers of a line; InputError where there are fewer or one is none."""
    fields = line.rstrip().split(b" ")
    try:
        values = np.array(fields[-width:], dtype=np.float32)
    except ValueError:
        values = np.zeros(0, dtype=np.float32)
    if len(fields) <= width or len(values) != width or not np.isfinite(values).all():
        shown = line[:40].decode(errors="replace").strip()
        raise InputError(
            f"line {number} of {path} is not a word and {width} numbers as the lines before it: {shown!r}. It has "
            f"{counted(len(fields) - 1, 'field')} after the word; mend or remove it."
        )
    return values
