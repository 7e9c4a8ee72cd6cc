"""The classifier's network: padding changes nothing, <eos> is read first, losses are those of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from gatework.data.text import Tokens
from gatework.nn import Backbone
from gatework.tasks.classification.classes import Classes
from gatework.tasks.classification.fitted import ends, shortened
from gatework.tasks.classification.network import ClassifierNet, attention, classifier_loss, probabilities
from gatework.tasks.text.inputs import Encoded

CLASSES = Classes("multi-class", ("a", "b", "c"))
LISTS = [[5, 6, 7, 8, 9, 10], [4], [8, 8, 3], [], [5, 6]]


def encoded(lists: list[list[int]]) -> Encoded:
    ids = Tokens.from_lists(lists)
    return Encoded(ids, ids)


def net(
    classes: Classes = CLASSES, pooling: Any = "attention", opening: bool = False, **settings: Any
) -> ClassifierNet:
    torch.manual_seed(0)
    reader = Backbone(12, 8, hidden_size=6, **{"bidirectional": not opening, **settings})
    return ClassifierNet(reader, pooling, classes, hidden=5, dropout=0.1, opening=opening).eval()


@pytest.mark.parametrize("kind", ["multi-class", "multi-label", "ordinal"])
@pytest.mark.parametrize("pooling", ["attention", "concat", "mean"])
def test_a_text_alone_is_its_row_among_others(kind: Any, pooling: str):
    classes = Classes(kind, ("a", "b", "c"))
    nets = [net(classes, pooling), net(classes, pooling)]
    together = probabilities(nets, encoded(LISTS), classes.several)
    alone = [probabilities(nets, encoded([own]), classes.several)[0] for own in LISTS]
    assert np.stack(alone) == pytest.approx(together, abs=1e-6)
    assert ((together > 0) & (together < 1)).all()
    if not classes.several:
        assert together.sum(1) == pytest.approx(1)


@pytest.mark.parametrize("reverse", [False, True])
def test_end_of_text_is_read_before_each_text(reverse: bool):
    """As if every text had <eos> at the end that the backbone begins from, its own vector left out of the pooling."""
    opened = net(opening=True, reverse=reverse, pooling="concat")
    plain = net(reverse=reverse, bidirectional=False, pooling="concat")
    batch = encoded(LISTS).batch(torch.arange(len(LISTS)))
    scores, _ = opened(batch)
    for row, own in enumerate(LISTS):
        if not own:
            continue
        ids = torch.tensor([[*own, 2] if reverse else [2, *own]])
        y, _ = plain.backbone(ids)
        y = y[:, :-1] if reverse else y[:, 1:]
        assert torch.allclose(plain.head(plain.pooling(y)[0])[0], scores[row], atol=1e-6)
    without, _ = plain(batch)
    assert not torch.allclose(without, scores, atol=1e-4)


def test_members_are_averaged_as_probabilities():
    nets = [net(), net()]
    with torch.no_grad():
        nets[1].head[-1].bias += torch.tensor([3.0, 0.0, -1.0])
    each = [probabilities([one], encoded(LISTS), several=False) for one in nets]
    assert probabilities(nets, encoded(LISTS), several=False) == pytest.approx((each[0] + each[1]) / 2)


def test_attention_of_one_text():
    weights = attention([net(), net()], encoded(LISTS), 0)
    assert weights is not None and weights.shape == (6,) and weights.sum() == pytest.approx(1, abs=1e-6)
    assert attention([net(pooling="mean")], encoded(LISTS), 0) is None


def test_losses_are_those_of_torch():
    one = net()
    batch = encoded(LISTS).batch(torch.arange(5)) | {"truth": torch.tensor([0, 2, 1, 0, 1])}
    scores, _ = one(batch)
    weights = np.array([1.0, 2.0, 0.5])
    expected = functional.cross_entropy(scores, batch["truth"], weight=torch.tensor([1.0, 2.0, 0.5]))
    assert torch.allclose(classifier_loss(False, weights)(one, batch), expected)
    batch["truth"] = torch.rand(5, 3) < 0.5
    expected = functional.binary_cross_entropy_with_logits(scores, batch["truth"].float())
    assert torch.allclose(classifier_loss(True)(one, batch), expected)


def test_long_texts_keep_their_beginning_and_their_end():
    lists = [list(range(3, 15)), [3, 4, 5], list(range(3, 11)), []]
    cut = shortened(Tokens.from_lists(lists), 8)
    expected = [[3, 4, 9, 10, 11, 12, 13, 14], [3, 4, 5], list(range(3, 11)), []]
    assert [own.tolist() for own in cut] == expected
    assert [ends([str(each) for each in own], 8) for own in lists] == [[str(each) for each in own] for own in expected]
