"""Words as numbers: looked up, spelt, cut, batched without padding that shows; saved and loaded."""

from __future__ import annotations

import json

import pytest
import torch

from gatework.data.text import Tokens
from gatework.errors import InputError
from gatework.tasks.text.inputs import Inputs, run
from gatework.tasks.text.network import TextNetwork, backbone

SENTENCES = [["Ada", "ran", "42", "miles"], ["She", "ran"], ["ran"]]
SPELLING = TextNetwork(character_filters=3, character_size=4, hidden_size=5, embedding_size=6)


def test_words_and_spelling():
    inputs = Inputs.learn(SENTENCES, SPELLING, lower=True, zeros=True)
    assert {"ada", "ran", "00", "miles", "she"} <= set(inputs.words.tokens)
    encoded = inputs.encode([["ADA", "zebra", "17"]])
    batch = encoded.batch(torch.tensor([0]))
    assert [inputs.words.token(i) for i in batch["ids"][0].tolist()] == ["ada", "<unk>", "00"]
    spelt = batch["letters"][batch["places"][0, 1]]
    assert spelt.shape == (5,) and (spelt > 0).all()
    assert inputs.sizes() == (len(inputs.words), len(inputs.characters))


def test_rare_words_have_no_vector_of_their_own():
    inputs = Inputs.learn(SENTENCES, TextNetwork(), least=2)
    assert inputs.words.tokens[3:] == ["ran"] and inputs.characters is None


def test_padding_points_to_a_word_without_letters():
    batch = Inputs.learn(SENTENCES, SPELLING).encode(SENTENCES).batch(torch.tensor([2, 0]))
    assert batch["lengths"].tolist() == [1, 4] and batch["ids"][0, 1:].tolist() == [0, 0, 0]
    assert (batch["letters"][batch["places"][0, 1:]] == 0).all()


def test_a_long_word_keeps_both_its_ends():
    word = "a" + "b" * 60 + "z"
    inputs = Inputs.learn([[word, "x"]], SPELLING)
    batch = inputs.encode([[word]]).batch(torch.tensor([0]))
    letters = batch["letters"][batch["places"][0, 0]]
    assert letters.shape == (40,)
    assert inputs.characters.decode([int(letters[0]), int(letters[-1])]) == "az"


def test_numbers_of_another_vocabulary_may_be_given():
    inputs = Inputs.learn(SENTENCES, SPELLING)
    ids = Tokens.from_lists([[7, 8]])
    assert inputs.encode([["Ad", "a"]], ids).batch(torch.tensor([0]))["ids"].tolist() == [[7, 8]]


def test_a_sentence_alone_is_read_as_among_others():
    inputs = Inputs.learn(SENTENCES, SPELLING)
    net = backbone(SPELLING, *inputs.sizes(), bidirectional=True).eval()
    encoded = inputs.encode(SENTENCES)
    together, _ = run(net, encoded.batch(torch.arange(3)))
    for number, words in enumerate(SENTENCES):
        alone, _ = run(net, inputs.encode([words]).batch(torch.tensor([0])))
        torch.testing.assert_close(alone[0], together[number, : len(words)], rtol=1e-5, atol=1e-6)


def test_json_and_back():
    inputs = Inputs.learn(SENTENCES, SPELLING, lower=True, zeros=True)
    again = Inputs.from_json(json.loads(json.dumps(inputs.to_json())), SPELLING)
    assert again.words == inputs.words and again.characters == inputs.characters and again.zeros
    plain = Inputs.learn(SENTENCES, TextNetwork())
    assert Inputs.from_json(plain.to_json(), TextNetwork()).characters is None


def test_one_word_is_no_vocabulary():
    with pytest.raises(InputError, match="one distinct word"):
        Inputs.learn([["a", "a"]], TextNetwork())
