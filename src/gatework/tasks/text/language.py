"""The network of a language model, and its training over streams whose state is carried from chunk to chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from gatework.data.text import Streams
from gatework.nn.backbone import Backbone, detach
from gatework.nn.softmax import Softmax
from gatework.tasks.text.network import backbone
from gatework.train.problem import Batch, Problem

if TYPE_CHECKING:
    from gatework.data.text import Vocabulary
    from gatework.tasks.language_model import LanguageModelConfig

METRIC = "nats_per_token"
_VALIDATED = 200_000  # tokens of the held-out part that each validation reads


class LanguageNet(nn.Module):
    """A backbone that reads one way, and an output layer that says which token comes next.

    Args:
        reader: the backbone.
        tokens: size V of the vocabulary.
        tie: whether the output layer shares the token vectors where it is as wide as they are (Press & Wolf,
            arXiv:1608.05859; Inan et al., arXiv:1611.01462).
        cutoffs: where the clusters of an adaptive softmax begin (Grave et al., arXiv:1609.04309); None is a full one.
    """

    def __init__(self, reader: Backbone, tokens: int, tie: bool = True, cutoffs: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.backbone = reader
        shared = reader.embedding.weight if tie and cutoffs is None and reader.width == reader.embedding.width else None
        self.head = Softmax(reader.width, tokens, shared, cutoffs)

    def forward(self, ids: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """What goes into the output layer, [B, T, W] of ids [B, T], and the state after them."""
        found: tuple[Tensor, Any] = self.backbone(ids, lengths, state)
        return found


class CarriedState:
    """The state at the end of the last chunk, from which the next one starts; saved with a training's checkpoint."""

    def __init__(self) -> None:
        self.value: Any = None

    def state_dict(self) -> dict[str, Any]:
        """The state, or None before the first chunk."""
        return {"value": self.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to what `state_dict` gave."""
        self.value = state["value"]


def language_network(config: LanguageModelConfig, tokens: int) -> LanguageNet:
    """An untrained network for a vocabulary of V tokens; every setting is decided."""
    cutoffs = _cutoffs(tokens) if config.softmax == "adaptive" else None
    return LanguageNet(
        backbone(config.model, tokens, bidirectional=False, last_size=config.last_size),
        tokens,
        bool(config.tie),
        cutoffs,
    )


def language_problem(
    config: LanguageModelConfig, vocabulary: Vocabulary, train: Tensor, held: Tensor | None, seed: int
) -> Problem:
    """The training of a language model by truncated backpropagation.

    Args:
        config: every setting decided.
        vocabulary: of the ids.
        train: stream of ids [R] to train on, as `corpus.stream` gives it.
        held: stream to validate on, in one state from its beginning; None = none.
        seed: of the lengths of chunks, where they are random.
    """
    training = config.training
    streams = Streams(train, training.batch_size or 1, training.length or 1, seed, training.random_lengths or False)
    carried = CarriedState()

    def batch(numbers: Tensor) -> Batch:
        x, y = streams.chunk(numbers)
        return {"x": x, "y": y, "first": streams.first(numbers)}

    def loss(net: nn.Module, batch: Batch) -> Tensor:
        y, state = net(batch["x"], None if batch["first"] else carried.value)
        carried.value = detach(state)
        value: Tensor = net.head.loss(y, batch["y"])  # type: ignore[operator,union-attr]
        value = value + _activity(y, training.activation_penalty or 0.0, training.change_penalty or 0.0)
        share: float = batch["x"].shape[1] / streams.length  # so that a token weighs the same in chunks of any length
        return value * share

    def validate(net: nn.Module) -> dict[str, float]:
        from gatework.tasks.text.reading import surprisals

        return {METRIC: float(surprisals(net, held[:_VALIDATED]).mean())}  # type: ignore[arg-type,index]

    net = language_network(config, len(vocabulary))
    validation = None if held is None else validate
    return Problem(net, loss, streams, batch, validation, METRIC, "chunks", carried=carried)


def _activity(y: Tensor, activation: float, change: float) -> Tensor:
    """Activation and temporal activation regularisation of outputs [B, T, W]. Merity et al., arXiv:1708.02182, 4.6.

    Both are taken of what the output layer sees, after a dropout that is locked over time.
    """
    value = y.new_zeros(())
    if activation:
        value = value + activation * y.square().mean()
    if change and y.shape[1] > 1:
        value = value + change * (y[:, 1:] - y[:, :-1]).square().mean()
    return value


def _cutoffs(tokens: int) -> tuple[int, ...]:
    """Where the clusters of an adaptive softmax begin: the tenth most frequent tokens are looked at every time."""
    return tuple(sorted({max(tokens // 10, 1), max(tokens * 2 // 5, 2)}))
