"""What trains a classifier: texts of like length in a batch, validated by the log loss of the held-out part."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gatework.data.text import Buckets, Documents
from gatework.tasks.classification.fitted import METRIC, FittedClassifier
from gatework.tasks.classification.network import classifier_loss
from gatework.tasks.text.transfer import Origin, groups
from gatework.train.problem import Batch, Problem


def classifier_problem(
    fitted: FittedClassifier,
    train: Documents,
    held: Documents | None,
    seed: int,
    origin: Origin | None = None,
    prepared: Sequence[nn.Module] = (),
) -> Problem:
    """A fresh network and its training.

    Args:
        fitted: settings, vocabulary and classes.
        train: texts to train on.
        held: texts that decide which weights are kept; None = the last ones are.
        seed: of the member: that of the run and its number.
        origin: a language model to begin from.
        prepared: the networks of its preparations.
    """
    config, classes = fitted.config, fitted.classes
    texts, truth = fitted.encode(train.texts), classes.targets(train)
    answers = torch.from_numpy(truth)
    member = seed - config.training.seed
    net = fitted.network(member, fresh=origin is None)
    levels = None
    if origin is not None:
        origin.hand_over(net.backbone, member % len(origin.directions), prepared)
        levels = groups(net.levels(), config.transfer.rate_factor, config.transfer.gradual)

    def batch(numbers: Tensor) -> Batch:
        return {**texts.batch(numbers), "truth": answers[numbers]}

    validate = None
    if held is not None:
        others, expected = fitted.encode(held.texts), classes.targets(held)

        def validate(net: nn.Module) -> dict[str, float]:
            return fitted.validation(net, others, expected)

    weights = classes.weights(truth) if config.class_weights == "balanced" else None
    sampler = Buckets(texts.lengths, config.training.batch_size or 1, seed)
    loss = classifier_loss(classes.several, weights)
    return Problem(net, loss, sampler, batch, validate, METRIC, "texts", groups=levels)
