"""Texts by word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise
from typing import Any

from gatework.data.text.encoding import END, SPECIAL
from gatework.data.text.tokenise import chunks_of, cut_chunk, join_words, lower_case, word_places
from gatework.data.text.vocabulary import Cut, Index, Vocabulary

_REMEMBERED = 1 << 18  # chunks of a text whose ids are kept


class Words(Vocabulary):
    """Words; a line break is `<eos>`, and a literal `<unk>` in a text is unknown.

    Args:
        tokens: the three special ones, then the words.
        lower: texts are made lower case.
        tokenise: "words" cuts punctuation off (`gatework.data.text.words`); "spaces" cuts at white space only, for text
            that is tokenised already.
    """

    kind = "word"

    def __init__(self, tokens: Sequence[str], lower: bool = False, tokenise: Cut = "words") -> None:
        super().__init__(tokens, lower)
        self.tokenise = tokenise
        self._chunks = _Chunks(self._index)

    def encode(self, text: str) -> list[int]:
        """The ids of the words of a text."""
        chunks = chunks_of_lines(lower_case(text) if self.lower else text, self.tokenise)
        if self.tokenise == "spaces":
            return list(map(self._index.__getitem__, chunks))
        return list(chain.from_iterable(map(self._chunks.__getitem__, chunks)))

    def pieces(self, text: str) -> list[str]:
        """The part of a text behind each id of `encode(text)`, white space at its front; together they are the text."""
        if self.tokenise == "words":
            stops = [place + 1 for place, letter in enumerate(text) if letter == "\n"]
            stops = sorted([*stops, *(stop for _, stop in word_places(text))])
        else:
            stops = [match.end() for match in re.finditer(r"\n|\S+", text)]
        if stops:
            stops[-1] = len(text)  # what follows the last word goes with it
        return [text[start:stop] for start, stop in pairwise([0, *stops])]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; `<eos>` is a line break, and with tokenise="words" punctuation joins its word again."""
        join: Callable[[Sequence[str]], str] = join_words if self.tokenise == "words" else " ".join
        lines: list[list[str]] = [[]]
        for i in ids:
            if i == END:
                lines.append([])
            else:
                lines[-1].append(self.token(i))
        return "\n".join(map(join, lines))

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as a JSON object."""
        return {"kind": self.kind, "lower": self.lower, "tokenise": self.tokenise, "tokens": self.tokens}


class _Chunks(dict[str, tuple[int, ...]]):
    """Ids of the words in a run of text between spaces, remembered: few of them make up most of any text."""

    def __init__(self, index: Index) -> None:
        super().__init__()
        self._index = index

    def __missing__(self, chunk: str) -> tuple[int, ...]:
        ids = tuple(map(self._index.__getitem__, cut_chunk(chunk)))
        if len(chunk) < 100:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[chunk] = ids
        return ids


def count_words(
    texts: Iterable[str] | Iterable[Sequence[str]], lower: bool = False, tokenise: Cut = "words"
) -> Counter[str]:
    """How often each word comes, without line breaks and literal special tokens."""
    counts: Counter[str] = Counter()
    chunks: Counter[str] = Counter()
    for text in texts:
        if not isinstance(text, str):
            counts.update(map(str.lower, text) if lower else text)
        else:
            chunks.update(chunks_of_lines(lower_case(text) if lower else text, tokenise))
    for chunk, number in chunks.items():  # each distinct run of text is cut once
        for word in cut_chunk(chunk) if tokenise == "words" else (chunk,):
            counts[word] += number
    for special in SPECIAL:
        counts.pop(special, None)
    return counts


def chunks_of_lines(text: str, tokenise: Cut) -> list[str]:
    """The runs of a text between white space, `<eos>` for each line break."""
    text = text.replace("\n", f" {SPECIAL[END]} ")
    return chunks_of(text) if tokenise == "words" else text.split()
