"""The network of taggers: a backbone, a score for each tag at each word, and a CRF over the sequence of tags."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gatework.data.text.encoding import UNKNOWN
from gatework.nn import Backbone
from gatework.nn.crf import CRF
from gatework.tasks.tagging.lexicon import Lexicon
from gatework.tasks.text.inputs import run
from gatework.tasks.text.side_features import SideFeatures

_IGNORED = -100  # torch's number of a target that does not count


class TaggerNet(nn.Module):
    """Scores of tags for every word, and how they go together.

    With `structured`, transitions between tags are learned (a conditional random field); without, each word's tag is
    learned by itself, and the field only keeps the sequence legal.

    Args:
        backbone: from words to a vector each.
        lexicon: words and tags.
        structured: whether transitions are learned.
        unknown: probability that a rare word is read as an unknown one, in training.
        rare: bool [V], the words that occur once; None where the network will not be trained.

    Source: Lample et al., arXiv:1603.01360, section 2 and 3.2; Ma & Hovy, arXiv:1603.01354, section 2.
    """

    rare: Tensor | None

    def __init__(
        self, backbone: Backbone, lexicon: Lexicon, structured: bool, unknown: float = 0.0, rare: Tensor | None = None
    ) -> None:
        super().__init__()
        self.backbone, self.structured, self.unknown = backbone, structured, unknown
        self.scores = nn.Linear(backbone.width, len(lexicon.tags))
        self.crf = CRF(len(lexicon.tags), *lexicon.transitions())
        if not structured:
            for parameter in self.crf.parameters():
                nn.init.zeros_(parameter).requires_grad_(False)
        self.register_buffer("rare", rare, persistent=False)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Scores [B, T, K] of the tags, for `TaggerInputs.batch`."""
        ids = batch["ids"]
        if self.training and self.unknown and self.rare is not None:
            hidden = self.rare[ids] & (torch.rand(ids.shape, device=ids.device) < self.unknown)
            ids = ids.masked_fill(hidden, UNKNOWN)
        context = batch if self.backbone.features is not None else None
        found: Tensor = self.scores(run(self.backbone, batch, ids, context)[0])
        return found

    def levels(self) -> list[nn.Module]:
        """The modules from the bottom to the top, for learning rates that grow: of language models, then the rest."""
        features, rest = self.backbone.features, [*self.backbone.groups(), self.scores, self.crf]
        if not isinstance(features, SideFeatures) or features.language is None:
            return [nn.ModuleList(rest)]
        others = [part for part in (features.marks, features.transformer) if part is not None]
        return [*features.language.levels(), nn.ModuleList([*others, *rest[1:]])]


def tagger_loss(net: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Mean over the words of the batch of -log p(tags | words), in nats; `net` is a `TaggerNet`."""
    scores, tags, lengths = net(batch), batch["tags"], batch["lengths"]
    if net.structured:
        return cast(CRF, net.crf).loss(scores, tags, lengths).sum() / lengths.sum()
    beyond = torch.arange(tags.shape[1], device=tags.device) >= lengths.unsqueeze(1)
    return functional.cross_entropy(scores.flatten(0, 1), tags.masked_fill(beyond, _IGNORED).flatten())


def consensus(nets: Iterable[TaggerNet]) -> CRF:
    """The field of several networks together: the mean of their transitions.

    With the mean of their scores this is the geometric mean of their distributions over sequences of tags.
    """
    fields = [net.crf for net in nets]
    mean = deepcopy(fields[0])
    with torch.no_grad():
        for parameter, *others in zip(mean.parameters(), *(field.parameters() for field in fields), strict=True):
            parameter.copy_(torch.stack(others).mean(0))
    return mean
