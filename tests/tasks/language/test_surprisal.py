"""Surprisal as numbers, as a table and as a page that needs nothing else."""

from __future__ import annotations

import html
import math
import re

import numpy as np
import pytest

from gatework.tasks.language.surprisal import Surprisal

HOSTILE = ["<script>alert(1)</script>", " a&b", "\n", '"quoted"', "</p>"]


def scored(pieces: list[str]) -> Surprisal:
    n = len(pieces)
    bits = np.linspace(0, 14, n)
    return Surprisal(
        "".join(pieces), pieces, bits * math.log(2), np.arange(1, n + 1), np.array([False] * (n - 1) + [True])
    )


def test_figures():
    found = scored(["ab", "cd", "e"])
    np.testing.assert_allclose(found.bits, [0, 7, 14])
    assert found.bits_per_character == pytest.approx(21 / 5)
    assert found.perplexity == pytest.approx(2**7)
    assert (
        str(found)
        == "3 tokens, 5 characters: 21.0 bits, 4.200 bits per character, perplexity 128.00 per token, 1 unknown"
    )


def test_table():
    table = scored(["ab", "cd", "e"]).table()
    assert list(table) == ["token", "bits", "rank", "unknown"]
    assert table["token"].tolist() == ["ab", "cd", "e"]
    assert table["rank"].tolist() == [1, 2, 3]


def test_the_page_escapes_everything_and_refers_to_nothing():
    page = scored(HOSTILE).page("<b>title</b>")
    assert "<script" not in page and "<b>" not in page
    assert not re.search(r"https?:|src=|href=|url\(", page)
    spans = re.findall(r'<span style="background:rgba\(176,60,28,([0-9.]+)\)" title="([^"]*)">([^<]*)</span>', page)
    tokens = [(float(share), html.unescape(note), html.unescape(text)) for share, note, text in spans[5:]]
    assert [text for _, _, text in tokens] == [piece.replace("\n", "↵\n") for piece in HOSTILE]
    assert [share for share, _, _ in tokens] == sorted(share for share, _, _ in tokens)
    assert tokens[1][1] == "3.50 bits, rank 2"
    assert tokens[-1][1] == "14.00 bits, rank 5, unknown"


def test_a_notebook_shows_the_page():
    assert scored(["a", "b"])._repr_html_() == scored(["a", "b"]).page()
