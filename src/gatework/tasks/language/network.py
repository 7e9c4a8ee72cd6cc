"""The network of a language model, and its training over streams whose state is carried from chunk to chunk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gatework.data.text import Streams, learn_vocabulary
from gatework.data.text.encoding import SPECIAL
from gatework.errors import InputError
from gatework.nn import Backbone, Spelling, detach
from gatework.nn.softmax import Softmax
from gatework.tasks.text.network import backbone, opened, start_vectors
from gatework.train.problem import Batch, Problem

if TYPE_CHECKING:
    from gatework.data.text import Vocabulary
    from gatework.tasks.language_model import LanguageModelConfig

METRIC = "nats_per_token"
_LETTERS = 40  # of a longer token only the first are read
_VALIDATED = 200_000  # tokens of the held-out part that each validation reads


class LanguageNet(nn.Module):
    """A backbone that reads one way, and an output layer that says which token comes next.

    Args:
        reader: the backbone.
        tokens: size V of the vocabulary.
        tie: whether the output layer shares the token vectors where it is as wide as they are (Press & Wolf,
            arXiv:1608.05859; Inan et al., arXiv:1611.01462).
        cutoffs: where the clusters of an adaptive softmax begin (Grave et al., arXiv:1609.04309); None is a full one.
        letters: [V, L] the characters of each token, where the backbone reads spelling.
        pieces: [V, P] a transformer's pieces of each token, where the backbone has one.
    """

    letters: Tensor | None
    pieces: Tensor | None

    def __init__(
        self,
        reader: Backbone,
        tokens: int,
        tie: bool = True,
        cutoffs: tuple[int, ...] | None = None,
        letters: Tensor | None = None,
        pieces: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.backbone = reader
        shared = reader.embedding.weight if tie and cutoffs is None and reader.width == reader.embedding.width else None
        self.head = Softmax(reader.width, tokens, shared, cutoffs)
        self.register_buffer("letters", letters, persistent=False)  # these follow from the vocabulary
        self.register_buffer("pieces", pieces, persistent=False)

    def forward(self, ids: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """What goes into the output layer, [B, T, W] of ids [B, T], and the state after them."""
        spelling = context = None
        if self.letters is not None:
            distinct, places = torch.unique(ids, return_inverse=True)
            spelling = Spelling(self.letters[distinct], places)
        if self.pieces is not None:
            context = self.pieces[ids]
        found: tuple[Tensor, Any] = self.backbone(ids, lengths, state, spelling, context)
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


def language_network(config: LanguageModelConfig, vocabulary: Vocabulary, start: bool = False) -> LanguageNet:
    """An untrained network for a vocabulary; every setting is decided.

    Args:
        config: the settings.
        vocabulary: of the text.
        start: whether token vectors start from the file that the settings name, rather than being loaded afterwards.

    Raises:
        InputError: the settings name a transformer that looks ahead, or files that cannot be read.
    """
    model, words = config.model, vocabulary.tokens[len(SPECIAL) :]
    transformer = opened(model)
    pieces = letters = None
    characters = 0
    if transformer is not None:
        pieces = functional.pad(transformer.pieces(words), (0, 0, len(SPECIAL), 0))
    if model.character_filters:
        spelt = learn_vocabulary("char", words)
        characters = len(spelt)
        letters, _ = spelt.encode_all(["", "", "", *(word[:_LETTERS] for word in words)]).batch(
            torch.arange(len(vocabulary))
        )
    reader = backbone(
        model,
        len(vocabulary),
        characters,
        bidirectional=False,
        last_size=config.last_size,
        vectors=start_vectors(model, vocabulary.tokens) if start else None,
        transformer=transformer,
    )
    if not reader.causal:
        raise InputError(
            f"the transformer in {model.transformer} reads both ways and would see the token that is to be told; "
            "expected one that reads forward only, such as a GPT."
        )
    cutoffs = _cutoffs(len(vocabulary)) if config.softmax == "adaptive" else None
    return LanguageNet(reader, len(vocabulary), bool(config.tie), cutoffs, letters, pieces)


def language_problem(
    config: LanguageModelConfig, vocabulary: Vocabulary, train: Tensor, held: Tensor | None, seed: int
) -> Problem:
    """The training of a language model by truncated backpropagation.

    Args:
        config: every setting decided.
        vocabulary: of the ids.
        train: stream of ids [R] to train on, as `corpus.stream` gives it.
        held: stream to validate on; None = none.
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
        from gatework.tasks.language.reading import mean_surprisal

        return {METRIC: mean_surprisal(net, held[:_VALIDATED])}  # type: ignore[arg-type,index]

    net = language_network(config, vocabulary, start=True)
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
    """Where the clusters of an adaptive softmax begin.

    With 30,000 words of film reviews a thirtieth of them are four fifths of the text, and a sixth nearly all of it. A
    first cluster of a tenth, of which most products are spent on words that did not come, takes 2.4 times as long.
    """
    return tuple(sorted({max(tokens // 30, 1), max(tokens // 6, 2)}))
