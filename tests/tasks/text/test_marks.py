"""Marks of words: shapes by hand, beginnings and ends, and their numbers."""

from __future__ import annotations

import pytest

from gatework.tasks.text.marks import MARKS, learn_marks, mark_table, marks, shape


@pytest.mark.parametrize(
    ("word", "expected"),
    [("the", "xx"), ("Ada", "Xxx"), ("NASA", "XX"), ("1995-96", "dd-dd"), ("IL-2", "XX-d"), ("...", ".."), ("", "")],
)
def test_shape(word: str, expected: str):
    assert shape(word) == expected


def test_a_long_shape_is_cut():
    assert shape("a1b2c3d4e5f6") == "xdxdxdxd"


def test_a_short_word_is_its_own_beginning_and_end():
    assert marks("I") == ["X", "<i", "<i", "<i", "i>", "i>", "i>"] and len(marks("I")) == MARKS


def test_marks_of_one_word_alone_are_not_learned():
    names = learn_marks([["running", "Running", "jog"], ["ring"]])
    assert "ing>" in names and "<run" in names and "xx" in names
    assert not {"<jog", "Xxx"} & set(names)


def test_what_training_lacks_has_one_number_and_padding_none():
    names = learn_marks([["aa", "aab"], ["aa"]])
    table = mark_table(names, ["", "aa", "zz"])
    assert table.shape == (3, MARKS) and table[0].tolist() == [0] * MARKS
    assert table[1, 0] == table[2, 0] == 2 + names.index("xx")
    assert table[2, 1:].tolist() == [1] * (MARKS - 1) and 2 + names.index("<aa") in table[1].tolist()
