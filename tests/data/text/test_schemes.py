"""Schemes of tags: read as seqeval reads them, turned into one another without loss."""

import warnings
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from gatework.data.text.schemes import SCHEMES, check, convert, detect, legal, spans, spell
from gatework.errors import InputError
from gatework.say import quiet, recording

BRACKETED = {"IOB1": "BIO", "BIO": "BIO", "BIOES": "BIOES", "BILOU": "BILOU"}
PLACES = ["a.tsv line 1", "a.tsv line 5", "a.tsv line 9"]


@st.composite
def entities(draw):
    """Entities in order that do not overlap, and the length of their sentence."""
    found, place = [], 0
    for _ in range(draw(st.integers(0, 4))):
        start = place + draw(st.integers(0, 2))
        place = start + draw(st.integers(1, 4))
        found.append((start, place, draw(st.sampled_from(["PER", "LOC", "A-B", "_"]))))
    return found, place + draw(st.integers(0, 2))


@given(entities(), st.sampled_from(list(SCHEMES)), st.sampled_from(list(SCHEMES)))
@settings(max_examples=300)
def test_tags_are_turned_into_one_another_without_loss(drawn, source, target):
    found, length = drawn
    tags = spell(found, length, source)
    assert spans(tags, source) == found
    converted = convert(tags, source, target)
    assert spans(converted, target) == found
    assert convert(converted, target, source) == tags
    assert check([tags], source, PLACES) == [tags]


@pytest.mark.parametrize(
    ("scheme", "tags"),
    [
        ("BIO", "B-P I-P B-P O B-L"),
        ("IOB1", "I-P I-P B-P O I-L"),
        ("BIOES", "B-P E-P S-P O S-L"),
        ("BILOU", "B-P L-P U-P O U-L"),
    ],
)
def test_each_scheme_by_hand(scheme, tags):
    found = [(0, 2, "P"), (2, 3, "P"), (4, 5, "L")]
    assert spans(tags.split(), scheme) == found
    assert spell(found, 5, scheme) == tags.split()
    assert detect([tags.split()]) == scheme


@given(st.sampled_from(["BI", "BIES", "BILU"]), st.data())
@settings(max_examples=400)
def test_illegal_tags_are_read_as_seqeval_reads_them(letters, data):
    names = ["O", *(letter + kind for letter in letters for kind in ("-A", "-B", "-A-C", ""))]
    tags = data.draw(st.lists(st.sampled_from(names), max_size=9))
    read = [tag.replace("L", "E", 1).replace("U", "S", 1) for tag in tags] if "L" in letters else tags
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seqeval warns of tags that are no entities
        expected = [(start, stop + 1, kind) for kind, start, stop in get_entities(list(read))]
    assert spans(tags, "BILOU" if "L" in letters else "BIOES" if "E" in letters else "BIO") == expected


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_legal_is_just_what_can_be_spelt(scheme):
    """Of every sequence of three tags: legal where reading and spelling gives it back."""
    names = ["O", *(f"{letter}-{kind}" for letter in SCHEMES[scheme] if letter != "O" for kind in "XY")]
    follows, starts, ends = legal(names, scheme)
    for places in product(range(len(names)), repeat=3):
        tags = [names[i] for i in places]
        allowed = bool(starts[places[0]] and follows[places[0], places[1]] and follows[places[1], places[2]])
        assert (allowed and bool(ends[places[2]])) == (convert(tags, scheme, scheme) == tags), tags


def test_plain_tags():
    tags = [["NOUN", "VERB", "PUNCT"]]
    assert detect(tags) == "plain"
    assert detect([["H", "E", "C"]]) == "plain"
    assert detect([["O", "O"]]) == "plain"
    assert detect([["B-X", "E-X", "L-X"]]) == "plain"
    assert spans(tags[0], "plain") == []
    assert all(torch.all(part) for part in legal(["NOUN", "VERB"], "plain"))
    assert check(tags, "plain", PLACES) == tags


def test_tags_without_a_type():
    assert detect([["O", "B", "I"]]) == "BIO"
    assert spans(["O", "B", "I"]) == [(1, 3, "_")]
    assert convert(["O", "B", "I"], "BIO", "BIOES") == ["O", "B", "E"]


def test_illegal_tags_are_named_or_repaired():
    tags = [["O", "B-X"], ["O", "I-X", "I-X"], ["B-X", "I-Y"]]
    assert detect(tags) == "BIO"
    with pytest.raises(
        InputError, match=r"a\.tsv line 5, token 2, breaks the rules of BIO: 'I-X' after 'O', so do 1 other sentence\."
    ):
        check(tags, "BIO", PLACES)
    with quiet(), recording() as lines:
        assert check(tags, "BIO", PLACES, repair=True) == [["O", "B-X"], ["O", "B-X", "I-X"], ["B-X", "B-Y"]]
    assert lines[0].startswith(
        "tags of 2 sentences broke the rules of BIO and were repaired, the first 'I-X' after 'O'"
    )


@pytest.mark.parametrize(
    ("tags", "scheme", "message"),
    [
        (["B-X", "O"], "BIOES", r"token 2, breaks the rules of BIOES: 'O' after 'B-X'"),
        (["O", "B-X"], "BILOU", r"token 2, breaks the rules of BILOU: 'B-X' at the end of a sentence"),
        (["I-X"], "BIO", r"token 1, breaks the rules of BIO: 'I-X' at the start of a sentence"),
        (["O", "X-Y"], "BIO", r"the tag 'X-Y' in a\.tsv line 1 is not one of BIO\. Expected O, or one of B, I"),
        (["O"], "BMES", r"there is no scheme of tags 'BMES'\. Expected 'BIO', 'IOB1'"),
    ],
)
def test_messages(tags, scheme, message):
    with pytest.raises(InputError, match=message):
        check([tags], scheme, PLACES)
