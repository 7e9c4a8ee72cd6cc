"""What a network reads from the spelling of a word: a convolution over its characters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from gatework.errors import InputError

PADDING = 0  # the id of what fills a word up to the longest of its batch
_FACTOR = 6364136223846793005  # Knuth's multiplier of numbers modulo 2^64 (MMIX)


@dataclass(frozen=True)
class CharacterOptions:
    """What `CharacterFeatures` is to be like.

    Attributes:
        characters: size of the vocabulary of characters; id 0 is padding.
        embedding: features of a character's vector, >= 1.
        filters: features of a word for each width, >= 1.
        widths: characters that a filter sees at once, each >= 1.
    """

    characters: int
    embedding: int = 30
    filters: int = 50
    widths: tuple[int, ...] = (3,)

    def __post_init__(self) -> None:
        """Raise InputError for numbers below 1."""
        for name in ("characters", "embedding", "filters"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} is {value!r}; expected a whole number >= 1.")
        if not self.widths or any(not isinstance(width, int) or width < 1 for width in self.widths):
            raise InputError(f"widths is {self.widths!r}; expected whole numbers >= 1, one or more.")


class Spelling(NamedTuple):
    """The words of a batch, each distinct one once.

    Attributes:
        words: [U, L] characters of U distinct words, padded with 0.
        places: [B, T] which of them stands at each step.
    """

    words: Tensor
    places: Tensor

    @classmethod
    def of(cls, characters: Tensor) -> Spelling:
        """Find the distinct words of [B, T, L] characters.

        Words are told apart by a number made of their characters, which sorts far faster than the words do; should two
        share one, all words are kept as they stand.
        """
        B, T, L = characters.shape
        rows = characters.reshape(B * T, L).long()
        numbers = torch.zeros(B * T, dtype=torch.long, device=rows.device)
        for column in rows.unbind(1):
            numbers = numbers * _FACTOR + column
        distinct, places = torch.unique(numbers, return_inverse=True)
        words = rows.new_zeros((len(distinct), L)).index_copy(0, places, rows)
        if not torch.equal(words[places], rows):
            words, places = rows, torch.arange(B * T, device=rows.device)
        return cls(words, places.view(B, T))


class CharacterFeatures(nn.Module):
    """Features of words from their characters: filters over neighbouring characters, the largest value of each kept.

    Every distinct word of the batch is computed once. A word's features do not depend on the padding after it, and a
    word without characters (the padding of a sentence) has zeros.

    Args:
        options: sizes and widths.

    Attributes:
        width: features F of a word, `filters` for each of the widths.

    Source: Ma & Hovy, arXiv:1603.01354, section 2.1; Chiu & Nichols, arXiv:1511.08308, section 2.3.
    """

    def __init__(self, options: CharacterOptions) -> None:
        super().__init__()
        self.options = options
        self.width = options.filters * len(options.widths)
        self.vectors = nn.Parameter(torch.empty(options.characters - 1, options.embedding))  # none for padding
        E, F = options.embedding, options.filters
        self.weights = nn.ParameterList(torch.empty(F, width * E) for width in options.widths)
        self.biases = nn.ParameterList(torch.zeros(F) for _ in options.widths)
        nn.init.uniform_(self.vectors, -math.sqrt(3 / E), math.sqrt(3 / E))
        for weight in self.weights:
            nn.init.xavier_uniform_(weight)

    def forward(self, characters: Tensor | Spelling) -> Tensor:
        """Features [B, T, F] of words given as [B, T, L] ids padded with 0, or as `Spelling`.

        Raises InputError for another shape.
        """
        if isinstance(characters, Tensor):
            if characters.dim() != 3:
                raise InputError(f"characters has shape {tuple(characters.shape)}; expected [B, T, L].")
            characters = Spelling.of(characters)
        return functional.embedding(characters.places, self._words(characters.words))

    def _words(self, words: Tensor) -> Tensor:
        """Features [U, F] of distinct words [U, L]."""
        sizes = (words != PADDING).sum(1, keepdim=True)
        vectors = functional.pad(self.vectors, (0, 0, 1, 0))  # [C, E]
        found = [
            self._largest(words, sizes, vectors, weight.view(len(weight), width, -1)) + bias
            for width, weight, bias in zip(self.options.widths, self.weights, self.biases, strict=True)
        ]
        return torch.where(sizes > 0, torch.cat(found, 1).relu(), 0.0)

    @staticmethod
    def _largest(words: Tensor, sizes: Tensor, vectors: Tensor, filters: Tensor) -> Tensor:
        """The largest value of each of the filters [F, K, E] in each word, [U, F].

        What a filter makes of a character at one of its K places is looked up in a table; the value at a position is
        the sum of K such. Only where it is largest does it reach the result, so only there is it differentiated.
        """
        K, C = filters.shape[1], len(vectors)
        tables = torch.einsum("ce,fke->kcf", vectors, filters)  # [K, C, F]
        padded = functional.pad(words, (K - 1, K))  # one more than needed, for words of no characters
        with torch.no_grad():
            seen = padded.unfold(1, K, 1) + torch.arange(K, device=words.device) * C  # rows of the tables, [U, S, K]
            within = torch.arange(seen.shape[1], device=words.device) < sizes + K - 1  # a character is in sight
            beyond = tables.new_full((1, tables.shape[2]), torch.finfo(tables.dtype).min / K)
            rows = torch.where(within.unsqueeze(-1), seen, K * C).view(-1, K)
            sums = functional.embedding_bag(rows, torch.cat([tables.flatten(0, 1), beyond]), mode="sum")
            best = sums.view(*within.shape, len(filters)).max(1).indices  # [U, F]; argmax is five times as slow
        values = [table.gather(0, padded.gather(1, best + place)) for place, table in enumerate(tables)]
        return torch.stack(values).sum(0)
