"""The baseline of taggers: counts by hand, ties, unseen words, saved and loaded."""

from __future__ import annotations

import json

import pytest

from gatework.tasks.tagging.most_frequent import MostFrequent

WORDS = [["the", "run", "ends"], ["they", "run"], ["run", "the", "show"], ["Ada"]]
TAGS = [["DET", "NOUN", "VERB"], ["PRON", "VERB"], ["VERB", "DET", "NOUN"], ["NOUN"]]


def test_each_word_has_its_most_frequent_tag_and_unseen_ones_that_of_rare_words():
    usual = MostFrequent.of(WORDS, TAGS)
    assert usual.tags["run"] == "VERB" and usual.tags["the"] == "DET"
    assert usual.unseen == "NOUN"  # ends VERB, they PRON, show NOUN, Ada NOUN came once
    assert usual([["the", "run", "zebra"], []]) == [["DET", "VERB", "NOUN"], []]


def test_the_tag_seen_first_wins_a_tie():
    assert MostFrequent.of([["a", "a"]], [["Y", "X"]]).tags == {"a": "Y"}


def test_without_rare_words_unseen_ones_get_the_usual_tag():
    assert MostFrequent.of([["a", "a", "b", "b"]], [["X", "X", "X", "X"]]).unseen == "X"


def test_json_and_back():
    usual = MostFrequent.of(WORDS, TAGS)
    assert MostFrequent.from_json(json.loads(json.dumps(usual.to_json()))) == usual
    with pytest.raises(ValueError):
        MostFrequent.from_json({**usual.to_json(), "tags": [0]})
