"""Which texts are held out, and the stream of ids that texts make."""

from __future__ import annotations

import pytest

from gatework.data.text import learn_vocabulary
from gatework.tasks.language.corpus import Corpus, length, split, stream


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("GATEWORK_QUIET", "1")


def test_the_end_of_one_text_is_held_out_from_a_line_on():
    text = "".join(f"line {number}\n" for number in range(200))
    found = split([text], 10, 0)
    assert "".join([*found.train, *found.held]) == text
    assert found.train[0].endswith("\n")
    assert 0.05 < len(found.held[0]) / len(text) <= 0.1


def test_without_lines_the_cut_is_at_a_space_and_without_spaces_anywhere():
    found = split(["word " * 400], 20, 0)
    assert found.held[0].startswith("word") and len(found.held[0]) in range(390, 401)
    found = split(["ab" * 1000], 20, 0)
    assert len(found.train[0]) == 1600


def test_few_texts_are_held_out_from_the_end():
    texts = ["a" * 600, "b" * 600, "c" * 600]
    found = split(texts, 50, 0)
    assert "".join(found.train + found.held) == "".join(texts)
    assert len("".join(found.train)) == 900
    assert split(["a" * 500, "b" * 500], 50, 0) == Corpus(["a" * 500], ["b" * 500])


def test_many_texts_are_held_out_whole_and_at_random():
    texts = [f"text {number} " * 5 for number in range(100)]
    found = split(texts, 10, 0)
    assert len(found.held) == 10
    assert sorted(found.train + found.held) == sorted(texts)
    assert found.train == [text for text in texts if text not in found.held]
    assert found == split(texts, 10, 0) != split(texts, 10, 1)


@pytest.mark.parametrize(("percent", "text"), [(0, "long " * 100), (10, "short")])
def test_nothing_is_held_out(percent: int, text: str):
    assert split([text], percent, 0) == Corpus([text], [])


def test_the_hash_knows_the_parts():
    hashes = {
        Corpus(["ab"], []).data_hash(),
        Corpus(["a", "b"], []).data_hash(),
        Corpus(["a"], ["b"]).data_hash(),
        Corpus([], ["ab"]).data_hash(),
        Corpus(["a1"], ["b"]).data_hash(),
    }
    assert len(hashes) == 5


def test_stream():
    vocabulary = learn_vocabulary("char", ["ab\n"])
    a, b, line = vocabulary.encode("ab\n")
    assert stream(vocabulary, ["ab", "a\nb\n", ""]).tolist() == [2, a, b, 2, a, line, b, 2, 2]
    assert stream(vocabulary, ["ab", "b"], "backward").tolist() == [2, b, 2, b, a, 2]
    assert length(["ab", "a\nb\n", ""]) == 8


def test_lines_of_words_end_once():
    vocabulary = learn_vocabulary("word", ["a b\nb a\n"])
    a, b = vocabulary.encode("a b")
    assert stream(vocabulary, ["a b\nb a\n"]).tolist() == [2, a, b, 2, b, a, 2]
