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
        """Find the distinct words of [B, T, L] characters."""
        B, T, L = characters.shape
        words, places = torch.unique(characters.reshape(B * T, L), dim=0, return_inverse=True)
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
        self.vectors = nn.Embedding(options.characters, options.embedding, PADDING)
        inputs = [width * options.embedding for width in options.widths]
        self.filters = nn.ModuleList(nn.Linear(size, options.filters) for size in inputs)
        bound = math.sqrt(3 / options.embedding)
        with torch.no_grad():
            self.vectors.weight.uniform_(-bound, bound)[PADDING] = 0

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
        steps, found = torch.arange(words.shape[1] + max(self.options.widths), device=words.device), []
        for width, linear in zip(self.options.widths, self.filters, strict=True):
            x = functional.pad(self.vectors(words), (0, 0, width - 1, width - 1))
            seen = x.unfold(1, width, 1).transpose(2, 3).flatten(2)  # [U, L + width - 1, width * E]
            y = linear(seen)
            within = steps[: y.shape[1]] < sizes + width - 1  # some character of the word is in sight
            found.append(y.masked_fill(~within.unsqueeze(-1), torch.finfo(y.dtype).min).amax(1))
        return torch.where(sizes > 0, torch.cat(found, 1).relu(), 0.0)
