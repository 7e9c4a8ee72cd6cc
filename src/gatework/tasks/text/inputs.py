"""Words as what a network reads of them: a number in the vocabulary, their spelling, a transformer's pieces."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor
from torch.nn import functional

from gatework.data.text import Tokens, Vocabulary, learn_vocabulary
from gatework.tasks.text.network import opened

if TYPE_CHECKING:
    from gatework.nn import Backbone
    from gatework.nn.backbone import BackboneState
    from gatework.tasks.text.network import TextNetwork
    from gatework.tasks.text.transformer import Transformer

PADDING = 0
_LETTERS = 40  # of a longer word the first and last 20 are read
_DIGIT = re.compile(r"\d")

Sentences = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Inputs:
    """How words become numbers.

    Attributes:
        words: those with a vector of their own.
        characters: those that words are spelt with; None where spelling is not read.
        zeros: whether digits of words are read as 0; their characters stay.
        transformer: whose features stand beside the words' vectors; None = without.
    """

    words: Vocabulary
    characters: Vocabulary | None = None
    zeros: bool = False
    transformer: Transformer | None = None

    @classmethod
    def learn(
        cls, sentences: Sentences, settings: TextNetwork, *, lower: bool = False, zeros: bool = False, least: int = 1
    ) -> Inputs:
        """From the words of the training part.

        Args:
            sentences: its words.
            settings: of the network; they say whether spelling is read, and name a transformer.
            lower: whether words are read in small letters; their characters stay.
            zeros: whether digits of words are read as 0.
            least: times a word must occur to have a vector of its own.

        Raises:
            InputError: fewer than two distinct words or characters; the transformer cannot be opened.
        """
        every = _read(list(chain.from_iterable(sentences)), zeros)
        words = learn_vocabulary("word", [every], least=least, lower=lower)
        return cls(words, learn_characters(sentences, settings), zeros, opened(settings))

    def encode(self, sentences: Sentences, ids: Tokens | None = None) -> Encoded:
        """Sentences as numbers; each distinct word is looked up once.

        Args:
            sentences: words, or the pieces of words that a vocabulary of another kind has cut.
            ids: their numbers where those do not follow from each word by itself; None looks words up.
        """
        forms = {"": PADDING}
        places = Tokens.from_lists([[forms.setdefault(word, len(forms)) for word in words] for words in sentences])
        distinct = list(forms)[1:]
        if ids is None:
            numbers = torch.tensor([PADDING, *self.words.encode_tokens(_read(distinct, self.zeros))], dtype=torch.int32)
            ids = Tokens(numbers[places.flat], places.offsets)
        letters = pieces = None
        if self.characters is not None:
            letters = _rows([[], *(self.characters.encode(_cut(word)) for word in distinct)])
        if self.transformer is not None:
            pieces = functional.pad(self.transformer.pieces(distinct), (0, 0, 1, 0))
        return Encoded(ids, places, letters, pieces, list(forms))

    def sizes(self) -> tuple[int, int]:
        """How many words and characters there are, as `backbone` takes them."""
        return len(self.words), 0 if self.characters is None else len(self.characters)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        characters = None if self.characters is None else self.characters.to_json()
        return {"words": self.words.to_json(), "characters": characters, "zeros": self.zeros}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], settings: TextNetwork) -> Self:
        """What `to_json` gave; ArtefactError, KeyError or TypeError when it is not that.

        Raises:
            InputError: the transformer that the settings name cannot be opened.
        """
        characters = value["characters"]
        own = None if characters is None else Vocabulary.from_json(characters)
        return cls(Vocabulary.from_json(value["words"]), own, bool(value["zeros"]), opened(settings))


@dataclass
class Encoded:
    """S sentences as numbers, with F distinct words of which the first is padding.

    Attributes:
        ids: of the words.
        forms: which of the distinct words stands at each place.
        letters: [F, L] the characters of each, padded with 0; None where spelling is not read.
        pieces: [F, P] the transformer's pieces of each, padded with 0; None without one.
        words: the distinct words, "" in the place of padding; none where the numbers alone are read.
    """

    ids: Tokens
    forms: Tokens
    letters: Tensor | None = None
    pieces: Tensor | None = None
    words: Sequence[str] = ()

    @property
    def lengths(self) -> Tensor:
        """Words of each sentence, long [S]."""
        return self.ids.lengths

    def batch(self, numbers: Tensor) -> dict[str, Tensor]:
        """The sentences `numbers` [B] as `run` takes them.

        Returns:
            ids [B, T], lengths [B]; where spelling is read, letters [U, L] of the distinct words and places [B, T];
            for a transformer, pieces [B, T, P].
        """
        ids, lengths = self.ids.batch(numbers)
        batch = {"ids": ids, "lengths": lengths}
        if self.letters is None and self.pieces is None:
            return batch
        forms, _ = self.forms.batch(numbers)
        if self.letters is not None:
            distinct, places = torch.unique(forms, return_inverse=True)
            letters = self.letters[distinct]
            batch |= {"letters": letters[:, : max(int((letters != PADDING).sum(1).max()), 1)], "places": places}
        if self.pieces is not None:
            batch["pieces"] = self.pieces[forms]
        return batch


def learn_characters(sentences: Sentences, settings: TextNetwork) -> Vocabulary | None:
    """The characters that words are spelt with; None where the settings read no spelling."""
    if not settings.character_filters:
        return None
    return learn_vocabulary("char", ["".join({word: None for own in sentences for word in own})])


def run(
    network: Backbone, batch: Mapping[str, Tensor], ids: Tensor | None = None, context: Any = None
) -> tuple[Tensor, BackboneState]:
    """`network` over `Encoded.batch`: y [B, T, W] and the state.

    Args:
        network: made for these inputs.
        batch: what it reads.
        ids: [B, T] in the place of the batch's.
        context: what its `features` are called with in the place of a transformer's pieces.
    """
    from gatework.nn import Spelling

    spelling = Spelling(batch["letters"], batch["places"]) if "letters" in batch else None
    ids, context = batch["ids"] if ids is None else ids, batch.get("pieces") if context is None else context
    found: tuple[Tensor, BackboneState] = network(ids, batch["lengths"], None, spelling, context)
    return found


def _read(words: Sequence[str], zeros: bool) -> list[str]:
    return [_DIGIT.sub("0", word) for word in words] if zeros else list(words)


def _cut(word: str) -> str:
    return word if len(word) <= _LETTERS else word[: _LETTERS // 2] + word[-_LETTERS // 2 :]


def _rows(lists: Sequence[Sequence[int]]) -> Tensor:
    """Lists as rows, padded with 0 up to the longest."""
    longest = max(map(len, lists))
    return torch.tensor([[*row, *[PADDING] * (longest - len(row))] for row in lists], dtype=torch.long)
