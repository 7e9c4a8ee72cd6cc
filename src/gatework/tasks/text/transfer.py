"""Transfer: a language model trained on unlabelled text first, its network then trained on to classify or to tag.

Source: Howard & Ruder, Universal language model fine-tuning for text classification, arXiv 1801.06146: language model
(3.1, 3.2), discriminative learning rates and slanted schedule (3.2), concat pooling, gradual unfreezing and an ensemble
of both directions (3.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gatework.errors import ArtefactError, ConfigError
from gatework.say import say
from gatework.tasks.text.network import TextNetwork, backbone

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gatework.data.text import Vocabulary
    from gatework.nn import Backbone
    from gatework.tasks.language_model import LanguageModelConfig
    from gatework.train.jobs import Done, Job
    from gatework.train.problem import Group, Problem
    from gatework.train.settings import Training

Direction = Literal["forward", "backward"]

SAME = "same"
"""`pretrain` for the texts of the training part themselves."""

_THAWED = 0.2  # share of the run after which nothing is frozen any more
_SHARE = 2.0  # of a time limit, beside a member's training


class Transfer(BaseModel):
    """A language model to begin from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrained: tuple[str, ...] = Field(
        default=(), description="runs of language models to begin from: one, or one that reads forward and one backward"
    )
    pretrain: str | None = Field(
        default=None,
        description="file or folder of unlabelled text to train a language model on first, beside the texts of the "
        "data; same = on those alone; none = no such training",
    )
    direction: Literal["forward", "backward", "both"] = Field(
        default="forward",
        description="how the pre-trained networks read; both = one network of each, averaged (twice the time)",
    )
    pretrain_epochs: int | None = Field(
        default=None, ge=1, le=1000, description="passes of the language model over its text; none = chosen"
    )
    rate_factor: float = Field(
        default=1.0,
        ge=1,
        le=100,
        description="each level of a pre-trained network learns so many times slower than the one above; 2.6 suits one "
        "that has read much more than the data",
    )
    gradual: bool = Field(default=False, description="free the levels of a pre-trained network one after the other")

    @property
    def asked(self) -> bool:
        """Whether there is a language model to begin from."""
        return bool(self.pretrained or self.pretrain)

    def read(self) -> list[str]:
        """The unlabelled texts to train on first, beside those of the data."""
        if self.pretrain in (None, SAME):
            return []
        from gatework.data.text import read_corpus

        return read_corpus(self.pretrain, argument="pretrain").texts

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Of the networks, in the order of the members."""
        return ("forward", "backward") if self.direction == "both" else (self.direction,)


@dataclass
class Origin:
    """Where networks begin: a vocabulary, the shape of a language model's network, its weights.

    Attributes:
        vocabulary: of the language models.
        language: their settings, every one decided.
        directions: how each reads.
        weights: of each one's backbone; empty where they are still to be trained.
    """

    vocabulary: Vocabulary
    language: LanguageModelConfig
    directions: tuple[Direction, ...]
    weights: list[dict[str, Tensor]] = field(default_factory=list)

    @classmethod
    def planned(
        cls, vocabulary: Vocabulary, own: TextNetwork, transfer: Transfer, texts: Sequence[str], held: bool
    ) -> Origin:
        """Language models that are still to be trained.

        Args:
            vocabulary: of the texts.
            own: the network that will take the weights: its cell, and its sizes where they are not the usual ones.
            transfer: how long to train, and in which directions.
            texts: to train on.
            held: whether there are texts to validate on.
        """
        from gatework.tasks.language.pretraining import language_settings

        language = language_settings(own, transfer, vocabulary, texts, held)
        return cls(vocabulary, language, transfer.directions)

    @classmethod
    def open(cls, runs: Sequence[str], transfer: Transfer) -> Origin:
        """The language models of finished runs: one, or two that read in different directions.

        Raises:
            ArtefactError: not runs of language models.
            ConfigError: they do not go together.
        """
        from gatework.tasks import load
        from gatework.tasks.language.pretraining import further

        models: list[Any] = [load(run) for run in runs]
        for run, model in zip(runs, models, strict=True):
            if model.name != "language-model":
                raise ArtefactError(f"{run} is a run of {model.name}; expected one of language-model.")
        first, directions = models[0], [model.config_.direction for model in models]
        if len(set(directions)) < len(directions):
            raise ConfigError(
                f"pretrained names {len(runs)} language models that all read {directions[0]}; expected one, or one "
                "of each direction."
            )
        for run, model in zip(runs, models, strict=True):
            if model.vocabulary_ != first.vocabulary_ or model.config_.model != first.config_.model:
                raise ConfigError(f"{run} has another vocabulary or network than {runs[0]}; train both alike.")
        if first.config_.model.transformer or first.config_.model.character_filters:
            raise ConfigError(
                f"{runs[0]} reads more than tokens (a transformer or spelling), which cannot be taken over; expected a "
                "language model without."
            )
        usual, found = type(transfer).model_fields["direction"].default, "both" if directions[1:] else directions[0]
        if transfer.direction not in (usual, found):
            raise ConfigError(
                f"direction is {transfer.direction}, but {', '.join(runs)} read {' and '.join(directions)}, as "
                "trained; leave direction out."
            )
        order = sorted(range(len(models)), key=lambda number: directions[number] == "backward")
        say(f"begun from {', '.join(runs)}: vocabulary of {len(first.vocabulary_)} and network taken over")
        return cls(
            first.vocabulary_,
            further(first.config_, transfer),
            tuple(directions[number] for number in order),
            [models[number].nets_[0].backbone.state_dict() for number in order],
        )

    @property
    def network(self) -> TextNetwork:
        """Settings of the networks."""
        return self.language.model

    @property
    def last_size(self) -> int | None:
        """Units of the last recurrent layer, where they differ from the others'."""
        return self.language.last_size

    @property
    def direction(self) -> Literal["forward", "backward", "both"]:
        """The setting that says the same as `directions`."""
        return "both" if len(self.directions) > 1 else self.directions[0]

    def preparations(self, train: Sequence[str], held: Sequence[str], seed: int) -> list[Job]:
        """A training of a language model for each direction, from the weights where there are any.

        Args:
            train: texts to train on.
            held: texts to validate on; none = no validation.
            seed: of the first; the next one's is one more.
        """
        from gatework.train.jobs import Job

        jobs = []
        for number, direction in enumerate(self.directions):
            labels = {"preparation": "language model" + (f", {direction}" if len(self.directions) > 1 else "")}
            jobs.append(Job(self._training(train, held, number, seed + number), seed + number, labels, _SHARE))
        return jobs

    def _training(
        self, train: Sequence[str], held: Sequence[str], number: int, seed: int
    ) -> Callable[[Done], tuple[Problem, Training]]:
        from gatework.tasks.language.corpus import stream
        from gatework.tasks.language.network import language_problem

        direction = self.directions[number]

        def make(done: Done) -> tuple[Problem, Training]:
            ids = stream(self.vocabulary, train, direction)
            others = stream(self.vocabulary, held, direction) if held else None
            problem = language_problem(self.language, self.vocabulary, ids, others, seed)
            if self.weights:
                problem.net.backbone.load_state_dict(self.weights[number])  # type: ignore[union-attr]
            return problem, self.language.training.model_copy(update={"seed": seed})

        return make

    def reader(self, number: int) -> Backbone:
        """An untrained backbone as language model `number` has one, which reads the same way."""
        reverse = self.directions[number] == "backward"
        return backbone(
            self.network, len(self.vocabulary), bidirectional=False, reverse=reverse, last_size=self.last_size
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON, without the weights."""
        settings = self.language.model_dump(mode="json")
        return {"vocabulary": self.vocabulary.to_json(), "language": settings, "directions": list(self.directions)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Origin:
        """What `to_json` gave; ArtefactError, KeyError, TypeError or ValueError when it is not that."""
        from gatework.data.text import Vocabulary
        from gatework.tasks.language_model import LanguageModelConfig

        language = LanguageModelConfig.model_validate(value["language"])
        return cls(Vocabulary.from_json(value["vocabulary"]), language, tuple(value["directions"]))

    def hand_over(self, network: Backbone, number: int, prepared: Sequence[nn.Module] = ()) -> None:
        """Give `network` the weights of language model `number`, or those of the one just `prepared` in its place.

        Args:
            network: of the shape of `network`, read forward or backward.
            number: 0 or, with two directions, 1.
            prepared: networks of `preparations`, in their order; none = the weights as they came.
        """
        weights = prepared[number].backbone.state_dict() if prepared else self.weights[number]  # type: ignore[union-attr]
        network.load_state_dict(weights)


def taken_over(own: TextNetwork, network: TextNetwork) -> dict[str, Any]:
    """The settings of `own` that a language model's `network` decides: everything but dropouts."""
    kept = {name for name in type(own).model_fields if "drop" in name or name in ("zoneout", "vectors")}
    return {name: getattr(network, name) for name in type(network).model_fields if name not in kept}


def groups(levels: Sequence[nn.Module], factor: float, gradual: bool) -> list[Group]:
    """Parameters by level, each level learning `factor` times slower than the one above it.

    Args:
        levels: from the bottom to the top; the top is new and never frozen.
        factor: 1 or more.
        gradual: free one level after the other from the top, all by a fifth of the run.
    """
    from gatework.train.problem import Group

    found = []
    depth = len(levels) - 1
    for height, level in enumerate(levels):
        below = depth - height
        thaw = _THAWED * below / depth if gradual and below else 0.0
        parameters = [parameter for parameter in level.parameters() if parameter.requires_grad]
        if parameters:
            found.append(Group(f"level {height + 1} of {len(levels)}", parameters, factor**-below, thaw))
    return found
