"""Token ids to text as they come: whole characters only, and never past a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

_CONTEXT = 6  # ids kept before the open end; what an id looks like depends on its neighbours alone
_LONGEST = 4  # bytes of a UTF-8 character, each of which may be an id of its own
_BROKEN = "\N{REPLACEMENT CHARACTER}"


class Decoder(Protocol):
    """What turns ids into text; `gatework.data.text.Vocabulary` is one."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""


class Spelling:
    """Ids of one text, fed one by one, to pieces of text; the pieces joined are what decoding all ids gives.

    A piece is held back while its last character is not whole. Memory does not grow with the text.

    Args:
        decoder: turns ids into text.
        before: ids that the text goes on from; they decide about a space at its start.
        spaced: whether a space follows them already, so that the text begins without one.
    """

    def __init__(self, decoder: Decoder, before: Sequence[int], spaced: bool = False) -> None:
        self._decoder, self._spaced = decoder, spaced
        self._given = list(before[-_CONTEXT:])
        self._open: list[int] = []

    def feed(self, token: int) -> str:
        """The text that is certain since the last call; may be empty."""
        self._open.append(token)
        text = self._text()
        if text.endswith(_BROKEN) and len(self._open) < _LONGEST:
            return ""
        self._given = [*self._given, *self._open][-_CONTEXT:]
        self._open = []
        return self._certain(text)

    def flush(self) -> str:
        """What is still held back."""
        text, self._open = (self._text() if self._open else ""), []
        return self._certain(text)

    def copy(self) -> Spelling:
        """Another that goes on from here."""
        twin = Spelling(self._decoder, self._given, self._spaced)
        twin._open = list(self._open)
        return twin

    def _text(self) -> str:
        return self._decoder.decode([*self._given, *self._open])[len(self._decoder.decode(self._given)) :]

    def _certain(self, text: str) -> str:
        if self._spaced and text:
            text, self._spaced = text.removeprefix(" "), False
        return text


class Stops:
    """Cuts a text, fed in pieces, before the first of some strings; what may be the start of one is held back.

    Args:
        strings: none of them empty.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(strings)
        self._held = ""
        self.found = False

    def feed(self, piece: str) -> str:
        """The text that is certain since the last call; `found` says whether a stop string came, and all is over."""
        if not self._strings:
            return piece
        text = self._held + piece
        places = [place for place in (text.find(string) for string in self._strings) if place >= 0]
        if places:
            self.found, self._held = True, ""
            return text[: min(places)]
        keep = next(
            n
            for n in range(min(len(text), max(map(len, self._strings)) - 1), -1, -1)
            if n == 0 or any(string.startswith(text[-n:]) for string in self._strings)
        )
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What is still held back."""
        text, self._held = self._held, ""
        return text

    def copy(self) -> Stops:
        """Another that goes on from here."""
        twin = Stops(self._strings)
        twin._held, twin.found = self._held, self.found
        return twin
