"""What a tagger knows beside its weights: words, tags, and how the tags spell entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from gatework.data.text import Tokens
from gatework.data.text.encoding import UNKNOWN
from gatework.data.text.schemes import convert, legal, spell
from gatework.data.wording import counted
from gatework.say import say
from gatework.tasks.tagging.most_frequent import MostFrequent
from gatework.tasks.text.inputs import Encoded, Inputs, Sentences
from gatework.tasks.text.marks import mark_table
from gatework.tasks.text.side_features import Pieces
from gatework.tasks.text.transfer import Origin

if TYPE_CHECKING:
    from gatework.tasks.text.network import TextNetwork

_SHORT = ("BIO", "IOB1")  # schemes that do not mark the last word of an entity


@dataclass(frozen=True)
class Lexicon:
    """Words and tags.

    Attributes:
        inputs: how words become numbers.
        tags: what the network tells apart, spelt in `inside`.
        given: how the data spell entities: BIO, BIOES ..., or "plain" for tags that spell none.
        inside: how the network's tags spell them.
        usual: the baseline, which also knows every word of the training part.
        marks: of the words of the training part; none = marks are not read.
        origin: the language models that read the words too; None = none do.
    """

    inputs: Inputs
    tags: tuple[str, ...]
    given: str
    inside: str
    usual: MostFrequent
    marks: tuple[str, ...] = ()
    origin: Origin | None = None

    def encode(self, sentences: Sentences) -> TaggerInputs:
        """Sentences as numbers."""
        own = self.inputs.encode(sentences)
        pieces = None if self.origin is None else Pieces.of(self.origin.vocabulary, sentences)
        return TaggerInputs(own, mark_table(self.marks, own.words) if self.marks else None, pieces)

    def numbers(self, tags: Sentences) -> Tokens:
        """Tags of the data as those of the network."""
        number = {name: place for place, name in enumerate(self.tags)}
        return Tokens.from_lists([[number[tag] for tag in respelt(own, self.given, self.inside)] for own in tags])

    def spelt(self, tags: Sequence[int]) -> list[str]:
        """Tags of the network in the scheme of the data."""
        return respelt([self.tags[number] for number in tags], self.inside, self.given)

    def transitions(self) -> tuple[Tensor, Tensor, Tensor]:
        """Which tag may follow which bool [K, K], which may begin [K] and end [K] a sentence."""
        return legal(self.tags, self.inside)

    def alike(self) -> Tensor:
        """Which of the network's tags are written alike in the data's scheme: [K, K], 1 or 0.

        S-X and B-X are both B-X in BIO: the probability of what is written is the sum of theirs. In IOB1 all tags of an
        entity count as alike, since I-X may begin one.
        """
        if self.given not in _SHORT:
            return torch.eye(len(self.tags))
        letters = {"S": "B", "E": "I"} if self.given == "BIO" else {"S": "I", "E": "I", "B": "I"}
        same = str.maketrans(letters)
        kinds = [name[0].translate(same) + name[1:] for name in self.tags]
        return torch.tensor([[float(a == b) for b in kinds] for a in kinds])

    def entity(self, length: int, kind: str) -> list[int]:
        """The network's tags of an entity of `length` words."""
        return [self.tags.index(name) for name in spell([(0, length, kind)], length, self.inside)]

    def going_on(self, kind: str) -> int | None:
        """The network's tag that would lengthen an entity before it; None where entities mark their end."""
        name = spell([(0, 2, kind)], 2, "BIO")[1]
        return self.tags.index(name) if self.inside in _SHORT and name in self.tags else None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "inputs": self.inputs.to_json(),
            "tags": list(self.tags),
            "given": self.given,
            "inside": self.inside,
            "usual": self.usual.to_json(),
            "marks": list(self.marks),
            "origin": None if self.origin is None else self.origin.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], settings: TextNetwork) -> Self:
        """What `to_json` gave; ArtefactError, KeyError, TypeError or ValueError when it is not that."""
        return cls(
            Inputs.from_json(value["inputs"], settings),
            tuple(str(name) for name in value["tags"]),
            str(value["given"]),
            str(value["inside"]),
            MostFrequent.from_json(value["usual"]),
            tuple(str(name) for name in value["marks"]),
            None if value["origin"] is None else Origin.from_json(value["origin"]),
        )


@dataclass
class TaggerInputs:
    """Sentences as a tagger reads them.

    Attributes:
        own: their words.
        marks: [F, M] of the distinct words; None where they are not read.
        pieces: what language models read of them; None without such.
    """

    own: Encoded
    marks: Tensor | None = None
    pieces: Pieces | None = None

    @property
    def lengths(self) -> Tensor:
        """Words of each sentence, long [S]."""
        return self.own.lengths

    def say_unknown(self) -> None:
        """Say how many words the training did not have, where they are more than half."""
        unknown, total = int((self.own.ids.flat == UNKNOWN).sum()), len(self.own.ids.flat)
        if 2 * unknown > total:
            say(f"{unknown} of {counted(total, 'token')} are words that the training did not have: tags are guesses")

    def batch(self, numbers: Tensor) -> dict[str, Tensor]:
        """The sentences `numbers` [B]: what `Encoded.batch` and `Pieces.batch` give, and marks [B, T, M]."""
        batch = self.own.batch(numbers)
        if self.marks is not None:
            batch["marks"] = self.marks[self.own.forms.batch(numbers)[0]]
        if self.pieces is not None:
            batch |= self.pieces.batch(numbers)
        return batch


def respelt(tags: Sequence[str], source: str, target: str) -> list[str]:
    """Tags of one scheme in another."""
    return list(tags) if source == target else convert(list(tags), source, target)
