"""The network of classifiers: a backbone that reads, a pooling over the words, a score for each class."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from gatework.data.text import Buckets
from gatework.data.text.encoding import END
from gatework.nn import Backbone, Pooling
from gatework.nn.ordinal import OrdinalHead
from gatework.nn.pooling import Kind as PoolingKind
from gatework.nn.pooling import Reads
from gatework.tasks.classification.classes import Classes
from gatework.tasks.classification.scores import Array
from gatework.tasks.text.inputs import Encoded, run
from gatework.train.problem import Batch

_AT_ONCE = 64  # texts run at once where nothing is trained


class ClassifierNet(nn.Module):
    """Scores of the classes of texts.

    One class a text: the scores go through a softmax; several labels: each through a sigmoid; ranks: the scores are the
    log-probabilities of `OrdinalHead`, which a softmax leaves as they are.

    Args:
        reader: from tokens to a vector each.
        pooling: how the vectors of a text become one.
        classes: what there is to tell apart.
        hidden: units of a layer between the pooling and the scores (ReLU); 0 = none.
        dropout: share of values dropped before each layer of the head, in training.
        opening: whether the backbone, as a language model does, reads <eos> before each text.
    """

    def __init__(
        self,
        reader: Backbone,
        pooling: PoolingKind,
        classes: Classes,
        hidden: int = 0,
        dropout: float = 0.0,
        opening: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.opening = reader, opening
        reads: Reads = "both" if reader.bidirectional else "backward" if reader.reverse else "forward"
        self.pooling = Pooling(pooling, reader.width, reads)
        width, layers = self.pooling.width, [nn.Dropout(dropout)]
        if hidden:
            layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]  # type: ignore[list-item]
            width = hidden
        last = OrdinalHead(width, len(classes)) if classes.kind == "ordinal" else nn.Linear(width, len(classes))
        self.head = nn.Sequential(*layers, last)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Scores [B, K], and the attention [B, T] where the pooling weighs words."""
        y = self._opened(batch) if self.opening else run(self.backbone, batch)[0]
        pooled, attention = self.pooling(y, batch["lengths"])
        return self.head(pooled), attention

    def _opened(self, batch: Batch) -> Tensor:
        """What the backbone makes of each text [B, T, W] after it has read <eos>, at the end it begins from."""
        ids, lengths = batch["ids"], batch["lengths"]
        if self.backbone.reverse:
            longer = functional.pad(ids, (0, 1)).scatter(1, lengths.unsqueeze(1), END)
            y, _ = self.backbone(longer, lengths + 1)
            return y[:, :-1]  # type: ignore[no-any-return]
        y, _ = self.backbone(functional.pad(ids, (1, 0), value=END), lengths + 1)
        return y[:, 1:]  # type: ignore[no-any-return]

    def levels(self) -> list[nn.Module]:
        """The modules from the bottom to the top, for learning rates that grow with height."""
        return [*self.backbone.groups(), nn.ModuleList([self.pooling, self.head])]


def classifier_loss(several: bool, weights: Array | None = None) -> Callable[[nn.Module, Batch], Tensor]:
    """Mean -log p(truth | text) over the batch, in nats; of several labels the mean over labels as well.

    Args:
        several: whether the truth is bool [B, K] (labels) instead of int [B] (classes).
        weights: [K], of the classes; of labels the weight of a text that has it. None = all alike.
    """
    own = None if weights is None else torch.from_numpy(weights).float()

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        scores, _ = net(batch)
        if several:
            return functional.binary_cross_entropy_with_logits(scores, batch["truth"].float(), pos_weight=own)
        return functional.cross_entropy(scores, batch["truth"], weight=own)

    return loss


@torch.no_grad()
def probabilities(nets: Sequence[nn.Module], texts: Encoded, several: bool) -> Array:
    """Of every class [N, K], the mean over the networks; `several`: of labels. Texts of like length run together."""
    lengths = texts.lengths
    found: Tensor | None = None
    for numbers in Buckets(lengths, _AT_ONCE, shuffle=False):
        batch = texts.batch(numbers)
        each = [net(batch)[0].double() for net in nets]
        mean = torch.stack([scores.sigmoid() if several else scores.softmax(-1) for scores in each]).mean(0)
        if found is None:
            found = mean.new_empty(len(lengths), mean.shape[1])
        found[numbers] = mean
    assert found is not None
    return found.numpy()


@torch.no_grad()
def attention(nets: Sequence[nn.Module], texts: Encoded, number: int) -> Array | None:
    """The weight of each token of one text [T], the mean over the networks; None where they do not weigh tokens."""
    each = [net(texts.batch(torch.tensor([number])))[1] for net in nets]
    return None if each[0] is None else torch.stack(each).mean(0)[0].double().numpy()
