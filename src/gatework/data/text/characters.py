"""Texts by character."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatework.data.text.encoding import END, SPECIAL, UNKNOWN, Tokens
from gatework.data.text.tokenise import lower_case
from gatework.data.text.vocabulary import Vocabulary


class Characters(Vocabulary):
    """Characters, the line break among them; `<eos>` comes between texts only."""

    kind = "char"

    def __init__(self, tokens: Sequence[str], lower: bool = False) -> None:
        super().__init__(tokens, lower)
        codes = [ord(token) for token in self.tokens[len(SPECIAL) :]]
        self._table = np.full(max(codes, default=0) + 2, UNKNOWN, dtype=np.int32)  # its last entry: all beyond
        self._table[codes] = np.arange(len(SPECIAL), len(self.tokens))

    def encode(self, text: str) -> list[int]:
        """The id of each character."""
        ids: list[int] = self._ids(text).tolist()
        return ids

    def encode_all(self, texts: Iterable[str]) -> Tokens:
        """The ids of many texts, by table and not character by character."""
        return Tokens.from_parts([self._ids(text) for text in texts])

    def pieces(self, text: str) -> list[str]:
        """The characters of a text."""
        return list(text)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; `<eos>` is a line break."""
        return "".join("\n" if i == END else self.token(i) for i in ids)

    def to_json(self) -> dict[str, Any]:
        """The vocabulary as a JSON object."""
        return {"kind": self.kind, "lower": self.lower, "tokens": self.tokens}

    def _ids(self, text: str) -> NDArray[np.int32]:
        codes = code_points(lower_case(text) if self.lower else text)
        return self._table[np.minimum(codes, len(self._table) - 1)]


def count_characters(texts: Iterable[str] | Iterable[Sequence[str]], lower: bool = False) -> Counter[str]:
    """How often each character comes."""
    counts: Counter[str] = Counter()
    for text in texts:
        joined = text if isinstance(text, str) else "".join(text)
        codes, numbers = np.unique(code_points(lower_case(joined) if lower else joined), return_counts=True)
        counts.update(dict(zip(map(chr, codes.tolist()), numbers.tolist(), strict=True)))
    return counts


def code_points(text: str) -> NDArray[np.uint32]:
    """The number of each character in Unicode, [len(text)]."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
