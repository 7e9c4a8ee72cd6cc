"""Settings of text networks: ranges, what follows from them, and vectors of a file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gatework.errors import ConfigError, InputError
from gatework.tasks.config import check
from gatework.tasks.setting import fields
from gatework.tasks.text.network import TextNetwork, TwoWayNetwork, backbone, start_vectors

WORDS = ["<pad>", "<unk>", "<eos>", "the", "cat", "sat"]


@pytest.fixture
def glove(tmp_path: Path) -> Path:
    path = tmp_path / "vectors.txt"
    path.write_text("the 1 2 3\ncat 4 5 6\ndog 7 8 9\n", encoding="utf-8")
    return path


def test_every_setting_reaches_the_network():
    settings = TextNetwork(
        cell="gru",
        hidden_size=8,
        num_layers=2,
        embedding_size=6,
        dropout=0.1,
        input_dropout=0.2,
        output_dropout=0.3,
        word_dropout=0.4,
        weight_drop=0.5,
        recurrent_dropout=0.6,
        zoneout=0.7,
        character_filters=5,
        character_size=4,
        character_widths=(2, 3),
        attention_under=1,
        attention_over=2,
        heads=3,
        attention_window=9,
    )
    net = backbone(settings, len(WORDS), characters=11, last_size=6)
    assert [(layer.cell.name, layer.hidden_size) for layer in net.layers] == [("gru", 8), ("gru", 6)]
    assert net.embedding.weight.shape == (6, 6) and net.layers[0].input_size == 6 + 2 * 5
    assert net.characters.vectors.shape == (10, 4)
    rates = net.layers[0].regularisers.rates
    assert (rates["weight_drop"], rates["recurrent_dropout"], rates["zoneout"]) == (0.5, 0.6, {"h": 0.7})
    dropped = net.between.rate, net.input_dropout.rate, net.output_dropout.rate, net.embedding.word_dropout
    assert dropped == (0.1, 0.2, 0.3, 0.4)
    assert (len(net.under.layers), len(net.over.layers)) == (1, 2)
    assert (net.over.layers[0].heads, net.over.layers[0].window) == (3, 9)


def test_direction_is_a_setting_of_networks_that_may_read_both_ways():
    assert not backbone(TextNetwork(), 9).bidirectional
    assert backbone(TwoWayNetwork(), 9).bidirectional
    assert not backbone(TwoWayNetwork(), 9, bidirectional=False, reverse=True).bidirectional
    assert "bidirectional" not in TextNetwork.model_fields


def test_every_setting_says_what_it_is_and_its_range():
    for field in fields(TwoWayNetwork):
        assert field.help, field.name
        if field.type_text in ("number", "whole number"):
            assert field.minimum is not None and field.maximum is not None, field.name


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hidden_size": 0}, "hidden_size is 0; expected whole number"),
        ({"dropout": 1}, "dropout is 1"),
        ({"character_filters": 4, "character_widths": ()}, "character_widths must have a width"),
        ({"character_widths": (0,)}, "character_widths"),
    ],
)
def test_values_out_of_range_are_refused(given: dict, words: str):
    with pytest.raises(ConfigError, match=words):
        check(TextNetwork, given)


def test_vectors_of_a_file_are_where_the_tokens_start(glove: Path):
    settings = TextNetwork(vectors=str(glove), embedding_size=3)
    vectors = start_vectors(settings, WORDS)
    assert vectors[3].tolist() == [1, 2, 3] and vectors[4].tolist() == [4, 5, 6] and vectors[5].abs().sum() > 0
    net = backbone(settings, len(WORDS), vectors=vectors)
    assert torch.equal(net.embedding.weight[3:], vectors[3:])
    assert start_vectors(TextNetwork(), WORDS) is None


def test_vectors_that_do_not_fit_are_refused(glove: Path):
    with pytest.raises(InputError, match="vectors of 3 numbers; the embedding has size 128"):
        start_vectors(TextNetwork(vectors=str(glove)), WORDS)
    with pytest.raises(InputError, match="none of the 2 words"):
        start_vectors(TextNetwork(vectors=str(glove), embedding_size=3), ["katze", "hund"])
