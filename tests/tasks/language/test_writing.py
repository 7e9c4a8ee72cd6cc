"""Ids to text as they come: whole characters, spaces between words, stop strings."""

from __future__ import annotations

import numpy as np
import pytest

from gatework.data.text import Vocabulary, learn_vocabulary
from gatework.tasks.language.writing import Spelling, Stops

TEXT = "It isn't 3.14 (or so).\nNaïve café, 北京 — 👩‍🚀 done!\n\nЭто по-русски."  # noqa: RUF001 - Cyrillic is meant


class Bytes:
    """Ids are bytes, as those of byte-level vocabularies."""

    def decode(self, ids) -> str:
        return bytes(ids).decode("utf-8", "replace")


def spelt(decoder, ids: list[int], before: list[int], spaced: bool = False) -> list[str]:
    spelling = Spelling(decoder, before, spaced)
    return [*(spelling.feed(token) for token in ids), spelling.flush()]


def test_characters_of_many_bytes_come_whole():
    pieces = spelt(Bytes(), list(TEXT.encode()), [10])
    assert "".join(pieces) == TEXT
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


def test_a_broken_character_is_not_waited_for_for_ever():
    assert "".join(spelt(Bytes(), [0xFF, 65, 66, 67, 68, 69], [10])).endswith("ABCDE")


@pytest.mark.parametrize("kind", ["char", "word", "subword"])
@pytest.mark.parametrize("cut", [0, 1, 5, 20])
def test_pieces_make_what_decoding_all_makes(kind: str, cut: int):
    vocabulary = learn_vocabulary(kind, [TEXT * 20], size=150 if kind == "subword" else None)
    ids = [2, *vocabulary.encode(TEXT)]
    before, after = ids[: cut + 1], ids[cut + 1 :]
    whole = vocabulary.decode(ids)[len(vocabulary.decode(before)) :]
    assert "".join(spelt(vocabulary, after, before)) == whole


def test_one_space_between_a_prompt_that_ends_in_one_and_the_text():
    vocabulary = learn_vocabulary("word", ["a b c"])
    ids = vocabulary.encode("b c")
    assert spelt(vocabulary, ids, vocabulary.encode("a")) == [" b", " c", ""]
    assert spelt(vocabulary, ids, vocabulary.encode("a"), spaced=True) == ["b", " c", ""]


def test_memory_does_not_grow():
    vocabulary: Vocabulary = learn_vocabulary("char", ["ab"])
    spelling = Spelling(vocabulary, [2])
    for _ in range(1000):
        spelling.feed(3)
    assert len(spelling._given) + len(spelling._open) < 10


@pytest.mark.parametrize("seed", range(40))
def test_stops_cut_where_a_search_of_the_whole_text_finds_them(seed: int):
    random = np.random.default_rng(seed)
    text = "".join(random.choice(list("ab\n"), 60))
    strings = ["".join(random.choice(list("ab\n"), random.integers(2, 7))) for _ in range(3)]
    stops, out, place = Stops(strings), "", 0
    while place < len(text) and not stops.found:
        size = int(random.integers(1, 9))
        piece = stops.feed(text[place : place + size])
        out, place = out + piece, place + size
        assert not any(string in out for string in strings)
    found = [text[:place].find(string) for string in strings if string in text[:place]]
    assert stops.found == bool(found)
    assert out + stops.flush() == (text[: min(found)] if found else text)


def test_nothing_is_held_back_without_need():
    stops = Stops(["END"])
    assert [stops.feed(piece) for piece in ("abc", "E", "x", "EN", "D")] == ["abc", "", "Ex", "", ""]
    assert stops.found
