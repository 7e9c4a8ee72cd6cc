"""Settings of the applications on text that change nothing unless others are set."""

from __future__ import annotations

from gatework.tasks.idle import Given, Idle

_PERCENT = 10  # held out where nothing else is said


def _attention(given: Given) -> bool:
    return bool(given["attention_under"] or given["attention_over"])


def _transfer(given: Given) -> bool:
    return bool(given.get("pretrain") or given.get("pretrained"))


def _one_layer(given: Given) -> bool:
    return given["num_layers"] == 1 and not _attention(given) and not given.get("pretrained")


_LOOP = (
    Idle(
        ("holdout",),
        lambda given: given["validation"] and given["holdout"] != _PERCENT,
        "the validation data are what is held out; leave one of the two out",
    ),
    Idle(
        ("refit",),
        lambda given: given["refit"] != "never" and given["holdout"] == 0 and not given["validation"],
        "holdout is 0, so there is no held-out part to train with later; leave refit out or hold out a part",
    ),
)

_NETWORK = (
    Idle(
        ("character_size", "character_widths"),
        lambda given: given["character_filters"] == 0,
        "the spelling of words is not read; set character_filters, such as 20",
    ),
    Idle(
        ("heads", "attention_window"),
        lambda given: not _attention(given),
        "there is no self-attention layer; set attention_over or attention_under",
    ),
    Idle(
        ("attention_window",),
        lambda given: given.get("bidirectional") and not _transfer(given),
        "self-attention looks both ways in a network that reads from both ends; set bidirectional to false",
    ),
    Idle(
        ("dropout",),
        lambda given: given["dropout"] and _one_layer(given),
        "it stands between recurrent layers and there is one; set num_layers, or input_dropout or output_dropout",
    ),
)

_TRANSFER = (
    Idle(
        ("direction", "rate_factor", "gradual"),
        lambda given: not _transfer(given),
        "there is no language model to begin from; set pretrain or pretrained",
    ),
    Idle(
        ("pretrain_epochs",),
        lambda given: not given["pretrain"],
        "no language model is trained first; set pretrain, such as same",
    ),
)

LANGUAGE = (*_LOOP, *_NETWORK)
"""Of the language model."""

CLASSIFIER = (
    *_LOOP,
    *_NETWORK,
    *_TRANSFER,
    Idle(
        ("tokens", "vocabulary_size", "least", "lower"),
        lambda given: given["pretrained"],
        "the vocabulary is that of the language model that pretrained names; leave it out",
    ),
    Idle(
        ("least",),
        lambda given: given["tokens"] != "word",
        "it counts words, and texts are cut into something else; leave it out, or set tokens to word",
    ),
)
"""Of the text classifier."""

TAGGER = (
    *_LOOP,
    *_NETWORK,
    *_TRANSFER,
    Idle(
        ("inside", "repair"),
        lambda given: given["scheme"] == "plain",
        "it is about tags that spell entities, and scheme is plain; leave one of the two out",
    ),
)
"""Of the sequence tagger."""
