"""Texts to ids and back."""

import json
import random
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gatework.data.text import Tokens, Vocabulary, learn_vocabulary, synthetic_corpus, words
from gatework.data.text.tokenise import join_words, look_spaced, word_places
from gatework.errors import ArtefactError, InputError
from gatework.say import quiet, recording

CORPUS = synthetic_corpus(sentences=300)
KINDS = [("char", "words"), ("word", "words"), ("word", "spaces"), ("subword", "words")]
ANY_TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \n\t.,!?'\u2019nta</>br-éज\u200d日ก:)0"), max_size=60
)


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def vocabulary(request) -> Vocabulary:
    kind, tokenise = request.param
    with quiet():
        return learn_vocabulary(kind, [CORPUS], size=1100 if kind == "subword" else None, tokenise=tokenise)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It isn't 3.14, is it?!", "It is n't 3.14 , is it ? !"),
        ("DON'T can't won\u2019t n't it's we'll", "DO N'T ca n't wo n\u2019t n't it 's we 'll"),
        ("wo n't sit still .", "wo n't sit still ."),
        ("well-known at 10:30 for 1,000.", "well - known at 10:30 for 1,000 ."),
        ("so ... good!!! :-) <br/>x <unk>", "so ... good !!! :-) <br/> x <unk>"),
        ("हिन्दी में", "हिन्दी में"),
        ("日本語です。", "日 本 語 で す 。"),
        ("naïve cafe\u0301 ещё", "naïve cafe\u0301 ещё"),
        ("مرحبا بالعالم", "مرحبا بالعالم"),
        (" \n\t ", ""),
    ],
)
def test_words_of_many_scripts(text, expected):
    assert words(text) == expected.split(" ") if expected else words(text) == []


def test_a_tag_with_a_space_is_one_word():
    assert words("a<br />b") == ["a", "<br/>", "b"]


@given(ANY_TEXT)
@settings(max_examples=200)
def test_words_keep_every_letter_and_are_found_at_their_places(text):
    found = words(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert [text[start:stop].replace(" ", "") for start, stop in word_places(text)] == found


def test_words_join_to_text_again():
    assert join_words(words("It isn't (quite) so, he said: no!")) == "It isn't (quite) so, he said: no!"
    assert look_spaced(["wo n't sit still .", "fine"])
    assert not look_spaced(["I won't sit still.", "Never, ever."])


def test_text_comes_back(vocabulary):
    text = CORPUS[:5000]
    decoded = vocabulary.decode(vocabulary.encode(text))
    plain = text.replace(" .", ".") if vocabulary.kind == "word" and vocabulary.tokenise == "words" else text
    assert decoded == plain


def test_json_round_trip(vocabulary):
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary
    assert again.encode(CORPUS) == vocabulary.encode(CORPUS)
    assert [vocabulary.token(i) for i in range(3)] == ["<pad>", "<unk>", "<eos>"]


@given(text=ANY_TEXT)
@settings(max_examples=100)
def test_pieces_are_the_text_and_match_the_ids(vocabulary, text):
    pieces, ids = vocabulary.pieces(text), vocabulary.encode(text)
    if ids:
        assert "".join(pieces) == text
    assert len(pieces) == len(ids)
    assert all(0 <= i < len(vocabulary) for i in ids)
    assert 0 not in ids


@given(text=ANY_TEXT)
@settings(max_examples=60)
def test_subwords_with_bytes_give_back_any_text(text):
    subwords = _subwords()
    if "\u2581" not in text:  # sentencepiece's own mark of a space
        assert subwords.decode(subwords.encode(text)) == text


def _subwords(known=[]):  # noqa: B006 - learned once
    if not known:
        with quiet():
            known.append(learn_vocabulary("subword", [CORPUS], size=1100))
    return known[0]


@pytest.mark.parametrize(("kind", "tokenise"), KINDS)
def test_pieces_of_lower_case_keep_their_own_letters(kind, tokenise):
    """Letters whose small form has another number of bytes, or of characters, among them."""
    with quiet():
        vocabulary = learn_vocabulary(kind, [CORPUS], size=1100, lower=True, tokenise=tokenise)
    text = "THE Baker \u2c6f\u0130\u03a3 \u1e9e :D IT'S"
    pieces = vocabulary.pieces(text)
    assert "".join(pieces) == text
    assert len(pieces) == len(vocabulary.encode(text))
    assert vocabulary.encode("THE") == vocabulary.encode("the")


def test_many_texts_as_one(vocabulary):
    texts = [*CORPUS.split("\n")[:20], "", "zebra \u4e00"]
    tokens = vocabulary.encode_all(texts)
    assert [part.tolist() for part in tokens] == [vocabulary.encode(text) for text in texts]


def test_what_is_unknown():
    known = learn_vocabulary("word", ["to be or not to be"])
    assert known.encode("be <unk> was <pad> <eos>\n") == [known.encode("be")[0], 1, 1, 1, 2, 2]
    tokens = known.encode_all(["여기 to be"])
    assert tokens.share_unknown() == pytest.approx(1 / 3)
    assert known.encode_tokens(["not", "to be"]) == [known.encode("not")[0], 1]
    with pytest.raises(IndexError, match="-1 is no id"):
        known.token(-1)


def test_lower_case_and_limits():
    small = learn_vocabulary("word", ["The the THE cat cat dog İ"], lower=True, size=5)
    assert small.tokens[3:] == ["the", "cat"]
    assert small.encode("THE Dog") == [3, 1]
    often = learn_vocabulary("word", ["a a b b c"], least=2)
    assert often.tokens[3:] == ["a", "b"]
    assert learn_vocabulary("char", ["Aa", "aB"], lower=True).tokens[3:] == ["a", "b"]
    assert learn_vocabulary("word", [["New York", "is"], ["is"]]).tokens[3:] == ["is", "New York"]


@pytest.mark.parametrize("kind", ["char", "word", "subword"])
@pytest.mark.parametrize(("texts", "message"), [([], "no "), ([""], "no "), (["aaaa"], "one distinct ")])
def test_too_little_text(kind, texts, message):
    with pytest.raises(InputError, match=f"the text holds {message}.*add text"):
        learn_vocabulary(kind, texts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "letter"}, "kind='letter'. Expected 'char', 'word' or 'subword'"),
        ({"tokenise": "none"}, "tokenise='none'"),
        ({"size": 4}, "size=4. Expected 5 or more"),
        ({"least": 9}, "least=9, but no word comes more than 2 times"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        learn_vocabulary(**{"kind": "word", "texts": ["a b a"], **arguments})


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"kind": "letter"},
        {"kind": "word", "lower": False, "tokenise": "words", "tokens": ["<pad>", "<unk>", "a"]},
        {"kind": "word", "lower": False, "tokenise": "words", "tokens": ["<pad>", "<unk>", "<eos>", "a", "a"]},
        {"kind": "word", "lower": 1, "tokenise": "words", "tokens": ["<pad>", "<unk>", "<eos>"]},
        {"kind": "word", "lower": False, "tokenise": "no", "tokens": ["<pad>", "<unk>", "<eos>"]},
        {"kind": "char", "lower": False, "tokens": ["<pad>", "<unk>", "<eos>", "ab"]},
        {"kind": "subword", "lower": False, "model": "AAAA"},
        {"kind": "subword", "lower": False},
    ],
)
def test_damaged_vocabularies(value):
    with pytest.raises(ArtefactError):
        Vocabulary.from_json(value)


def test_subwords_are_deterministic_and_shrink_to_what_the_text_gives(capfd):
    with recording() as lines:
        first = learn_vocabulary("subword", [CORPUS], size=300)
    with quiet():
        assert learn_vocabulary("subword", [CORPUS], size=300) == first
    assert lines[-1] == f"vocabulary: {len(first)} subwords, as many as the text gives (300 were wanted)"
    assert capfd.readouterr().err.splitlines() == lines  # sentencepiece itself is silent


def test_subwords_of_more_characters_than_tokens():
    with quiet(), recording() as lines:
        vocabulary = learn_vocabulary("subword", ["".join(map(chr, range(0x4E00, 0x5200))) + "ab" * 50], size=100)
    assert len(vocabulary) <= 100
    assert "of 1026 characters" in lines[0]
    assert vocabulary.decode(vocabulary.encode("ab")) == "ab"


def test_long_texts_take_seconds():
    character = "ab" * 5_000_000
    word = "some words of it " * 600_000
    start = time.process_time()
    with quiet():
        for kind, text in (("char", character), ("word", word), ("word", character), ("subword", word)):
            tokens = learn_vocabulary(kind, ["abcd some words of it", text[:1_000_000]]).encode_all([text])
            assert tokens.share_unknown() < 1 or len(tokens.flat) == 1
    assert time.process_time() - start < 30


def test_words_are_looked_up_by_the_run_of_text_between_spaces():
    """So that 5 million words take seconds."""
    draw = random.Random(0)
    lines = [" ".join(draw.choices(CORPUS.split(), k=50)) for _ in range(2000)]
    vocabulary = learn_vocabulary("word", lines)
    start = time.process_time()
    tokens = vocabulary.encode_all(lines)
    assert len(tokens.flat) == 100_000
    assert time.process_time() - start < 1


@given(st.lists(st.lists(st.integers(1, 99), max_size=7), min_size=1, max_size=9), st.data())
@settings(max_examples=100)
def test_ragged_batches(lists, data):
    tokens = Tokens.from_lists(lists)
    numbers = data.draw(st.lists(st.integers(0, len(lists) - 1), min_size=1, max_size=5))
    ids, lengths = tokens.batch(torch.tensor(numbers))
    longest = max(1, *(len(lists[i]) for i in numbers), 1)
    assert ids.tolist() == [lists[i] + [0] * (longest - len(lists[i])) for i in numbers]
    assert lengths.tolist() == [len(lists[i]) for i in numbers]
    assert [part.tolist() for part in tokens.select(torch.tensor(numbers))] == [lists[i] for i in numbers]
    assert [part.tolist() for part in tokens.cut(3)] == [part[:3] for part in lists]
    assert tokens.stream().tolist() == [i for part in lists for i in [*part, 2]]
    assert tokens.stream(None).tolist() == [i for part in lists for i in part]
    assert tokens[len(lists) - 1].tolist() == lists[-1]
    with pytest.raises(IndexError):
        tokens[len(lists)]
