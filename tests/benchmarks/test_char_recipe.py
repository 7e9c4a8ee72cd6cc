"""The published recipe: what it learns of a text that repeats itself, and the row that it gives."""

from __future__ import annotations

import math

import char_recipe
import pytest


def test_learns_what_comes_next(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(char_recipe, "EPOCHS", 6)
    monkeypatch.setattr(char_recipe, "STREAMS", 4)
    monkeypatch.setattr(char_recipe, "LENGTH", 20)
    row, *others = char_recipe.measure("abc" * 700, "abc" * 30, "abc" * 40, seed=0, data="war-and-peace-recipe")
    assert row["mode"] == "war-and-peace 1x128, recipe" and row["metric"] == char_recipe.METRIC
    assert 0 < row["median"] < 0.3 * math.log(3)
    assert [other["metric"] for other in others] == ["seconds", "CPU seconds"]
