"""Words that decide: what leaving them out does, and a page that shows it safely and without colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from gatework.data.text import Tokens
from gatework.tasks.classification.highlights import Highlight, group, hide, highlights_page, occlude
from gatework.tasks.text.inputs import Encoded


class Reader(HTMLParser):
    """Every tag, and all text, of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        assert not any(name in ("src", "href") for name, _ in attrs), "the page refers to nothing outside itself"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_pieces_are_grouped_by_blanks():
    assert group(["un", "believ", "able", " st", "ory", "\n", "end"]) == [[0, 1, 2], [3, 4], [5], [6]]
    assert group([]) == []


def test_effects_are_probability_lost():
    """A text's probability of class 1 is the number of places that are still there, over ten."""

    def probabilities(hidden: Sequence[Sequence[int]]) -> np.ndarray:
        left = np.array([5 - len(places) for places in hidden]) / 10
        return np.stack([1 - left, left], 1)

    words = [[0], [1, 2], [3, 4]]
    assert occlude(words, 1, probabilities) == pytest.approx((0.1, 0.2, 0.2))
    assert occlude(words, 0, probabilities) == pytest.approx((-0.1, -0.2, -0.2))
    assert occlude([[0]] * 600, 1, probabilities) == pytest.approx((0.1,) * 600), "more than are run at once"


def test_hidden_places_are_unknown_and_have_no_spelling():
    ids = Tokens.from_lists([[7, 8, 9]])
    forms = Tokens.from_lists([[1, 2, 3]])
    hidden = hide(Encoded(ids, forms, torch.ones(4, 2)), [[], [1], [0, 2]])
    assert [row.tolist() for row in hidden.ids] == [[7, 8, 9], [7, 1, 9], [1, 8, 1]]
    assert [row.tolist() for row in hidden.forms] == [[1, 2, 3], [1, 0, 3], [0, 2, 0]]
    assert ids[0].tolist() == [7, 8, 9], "the text itself stays"


def test_page_is_escaped_whole_and_readable_without_colour():
    words = ("<script>alert(1)</script>", " it's", " &", " dull", " fine")
    page = highlights_page("<b>", [Highlight("1. <i>: bad (90 %)", words, (0.0, 0.01, 0.0, 0.4, -0.2), (0.2,) * 5)], 3)
    reader = Reader()
    reader.feed(page)
    assert reader.open == [] and not {"script", "b", "i"} & set(reader.tags)
    assert "".join(words) in re.sub(r"[+-]\d+\.\d", "", reader.text), "the text stands there as it is"
    assert "+40.0" in reader.text and "-20.0" in reader.text, "numbers stand beside the strongest words"
    assert 'class="up"' in page and 'class="down"' in page and "dashed" in page and "solid" in page
    assert "3 further texts" in reader.text and "20.0 %" in reader.text


def test_a_text_without_effects_is_plain():
    page = highlights_page("t", [Highlight("1", ("a", " b"), (0.0, 0.0))])
    assert 'class="up"' not in page and 'class="down"' not in page
