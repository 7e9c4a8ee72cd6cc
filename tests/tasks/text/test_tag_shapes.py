"""Shapes of words: by hand, and as numbers."""

from __future__ import annotations

import pytest

from gatework.tasks.text.shapes import encode_shapes, shape, shapes_of


@pytest.mark.parametrize(
    ("word", "expected"),
    [("the", "xx"), ("Ada", "Xxx"), ("NASA", "XX"), ("1995-96", "dd-dd"), ("IL-2", "XX-d"), ("...", ".."), ("", "")],
)
def test_shape(word: str, expected: str):
    assert shape(word) == expected


def test_a_long_shape_is_cut():
    assert shape("a1b2c3d4e5f6") == "xdxdxdxd"


def test_shapes_that_training_lacks_have_one_number():
    names = shapes_of([["Ada", "ran"], ["far"]])
    assert names == ("Xxx", "xx")
    assert [row.tolist() for row in encode_shapes(names, [["Bob", "sat", "99"], []])] == [[2, 3, 1], []]
