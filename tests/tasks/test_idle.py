"""Settings that would change nothing are refused, before anything is read."""

from __future__ import annotations

from typing import Any

import pytest

from gatework.errors import ConfigError, InputError
from gatework.say import quiet
from gatework.tasks import task
from gatework.tasks.idle import Idle, refuse_idle
from gatework.tasks.setting import fields

LANGUAGE, CLASSES, TAGS = TEXT = "language-model", "text-classifier", "sequence-tagger"
NOWHERE = "nowhere.txt"

EVERY: list[tuple[dict[str, Any], str]] = [
    ({"heads": 2}, "heads is 2, .* no self-attention layer; set attention_over"),
    ({"attention_window": 9}, "attention_window is 9, .* set attention_over"),
    ({"character_filters": 0, "character_size": 9}, "character_size is 9, .* set character_filters"),
    ({"num_layers": 1, "dropout": 0.2}, "dropout is 0.2, .* set num_layers"),
    ({"holdout": 0, "refit": "further"}, "refit is 'further', .* holdout is 0"),
]
IDLE = [
    *((name, settings, said) for name in TEXT for settings, said in EVERY),
    (CLASSES, {"dropout": 0.2}, "dropout is 0.2, .* set num_layers"),
    (CLASSES, {"direction": "both"}, "direction is 'both', .* set pretrain or pretrained"),
    (CLASSES, {"gradual": True}, "gradual is True, .* set pretrain"),
    (CLASSES, {"pretrained": ("x",), "pretrain_epochs": 2}, "pretrain_epochs is 2, .* set pretrain"),
    (CLASSES, {"pretrained": ("x",), "lower": False}, "lower is False, .* vocabulary is that of the language model"),
    (CLASSES, {"tokens": "char", "least": 3}, "least is 3, .* tokens to word"),
    (CLASSES, {"attention_over": 1, "attention_window": 9}, "attention_window is 9, .* set bidirectional to false"),
    (TAGS, {"rate_factor": 2.0}, "rate_factor is 2.0, .* set pretrain"),
    (TAGS, {"scheme": "plain", "inside": "BIO"}, "inside is 'BIO', .* scheme is plain"),
]
BUSY = [
    (LANGUAGE, {}),
    (LANGUAGE, {"attention_under": 1, "heads": 2, "attention_window": 9}),
    (LANGUAGE, {"character_filters": 9, "character_widths": (2,)}),
    (LANGUAGE, {"dropout": 0.2}),
    (LANGUAGE, {"num_layers": 1, "dropout": 0.0, "refit": "never", "holdout": 0}),
    (CLASSES, {"num_layers": 2, "dropout": 0.2, "character_widths": (2,)}),
    (CLASSES, {"pretrain": "same", "direction": "both", "pretrain_epochs": 2, "gradual": True, "lower": False}),
    (CLASSES, {"attention_over": 1, "attention_window": 9, "bidirectional": False}),
    (TAGS, {"pretrain": "same", "direction": "forward", "repair": True, "heads": 4}),
]


@pytest.mark.parametrize(("name", "settings", "said"), IDLE)
def test_settings_that_change_nothing_are_refused(name: str, settings: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        task(name)(**settings).fit(NOWHERE)


@pytest.mark.parametrize(("name", "settings"), BUSY)
def test_settings_that_go_together_are_not(name: str, settings: dict[str, Any]):
    with quiet(), pytest.raises(InputError, match="no file nowhere"):
        task(name)(**settings).fit(NOWHERE)


@pytest.mark.parametrize("name", TEXT)
def test_a_held_out_part_that_is_given_is_not_cut_from_the_data(name: str):
    with pytest.raises(ConfigError, match=r"holdout is 20, .* validation data"):
        task(name)(holdout=20).fit(NOWHERE, validation=NOWHERE)
    with quiet(), pytest.raises(InputError, match="no file nowhere"):
        task(name)(holdout=20).fit(NOWHERE)


@pytest.mark.parametrize("name", TEXT)
def test_every_rule_is_about_settings_there_are(name: str):
    kind = task(name)
    own = {field.name for field in fields(kind.Config)}
    assert {about for rule in kind.idle for about in rule.names} <= own


def test_only_what_is_set_is_refused():
    rules = [Idle(("heads",), lambda given: not given["layers"], "there is no layer")]
    usual = {"heads": 4, "layers": 0}
    for given in ({"heads": 4, "layers": 0}, {"heads": 2, "layers": 1}, {"layers": 0}):
        refuse_idle(given, usual, rules)
    with pytest.raises(ConfigError, match=r"^heads is 2, but that changes nothing: there is no layer\.$"):
        refuse_idle({"heads": 2, "layers": 0}, usual, rules)
