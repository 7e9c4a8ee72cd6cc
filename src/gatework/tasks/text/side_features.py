"""What stands beside the vector of a word: its marks, a transformer's features, what language models make of it.

Source: Peters et al., Semi-supervised sequence tagging with bidirectional language models, arXiv:1705.00108, section 2
(words); Akbik, Blythe & Vollgraf, Contextual string embeddings for sequence labeling, COLING 2018, section 2.2 (states
at the first and the last character of a word).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor, nn

from gatework.data.text import Tokens, Vocabulary
from gatework.data.text.encoding import END
from gatework.nn import Backbone, WordEmbedding
from gatework.tasks.text.inputs import Sentences
from gatework.tasks.text.marks import MARKS, OTHERS
from gatework.tasks.text.transformer_features import TransformerFeatures

PREFIX = "language_"  # of the names in a batch


@dataclass
class Pieces:
    """S sentences as language models read them: <eos>, the pieces of each word, <eos>.

    Attributes:
        ids: of the pieces, both <eos> among them.
        firsts: place of the first piece of each word.
        lasts: place of its last piece.
    """

    ids: Tokens
    firsts: Tokens
    lasts: Tokens

    @classmethod
    def of(cls, vocabulary: Vocabulary, sentences: Sentences) -> Pieces:
        """Each distinct word is cut once; characters have a space between words."""
        between = vocabulary.encode(" ") if vocabulary.kind == "char" else []
        cut = {word: vocabulary.encode(word) or [END] for words in sentences for word in words}
        ids, firsts, lasts = [], [], []
        for words in sentences:
            own = [cut[word] for word in words]
            starts = list(accumulate((len(piece) + len(between) for piece in own), initial=1))[: len(own)]
            ids.append([END, *(number for piece in own for number in (*piece, *between)), END])
            firsts.append(starts)
            lasts.append([start + len(piece) - 1 for start, piece in zip(starts, own, strict=True)])
        return cls(Tokens.from_lists(ids), Tokens.from_lists(firsts), Tokens.from_lists(lasts))

    def batch(self, numbers: Tensor) -> dict[str, Tensor]:
        """The sentences `numbers` [B]: language_ids [B, S], _lengths [B], _firsts and _lasts [B, T]."""
        ids, lengths = self.ids.batch(numbers)
        firsts, lasts = self.firsts.batch(numbers)[0], self.lasts.batch(numbers)[0]
        return {f"{PREFIX}ids": ids, f"{PREFIX}lengths": lengths, f"{PREFIX}firsts": firsts, f"{PREFIX}lasts": lasts}


class LanguageFeatures(nn.Module):
    """Features of words from language models: the outputs after a word is read, from the left, the right or both.

    Args:
        readers: the backbones, each forward or reversed.

    Attributes:
        width: features F of a word.
    """

    def __init__(self, readers: Sequence[Backbone]) -> None:
        super().__init__()
        self.readers = nn.ModuleList(readers)
        self.width = sum(reader.width for reader in readers)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Features [B, T, F] of the words of `Pieces.batch`."""
        found = []
        for reader in self.readers:
            y, _ = reader(batch[f"{PREFIX}ids"], batch[f"{PREFIX}lengths"])
            places = batch[f"{PREFIX}{'firsts' if reader.reverse else 'lasts'}"]
            found.append(y.gather(1, places.unsqueeze(-1).expand(-1, -1, y.shape[2])))
        return torch.cat(found, -1)

    def levels(self) -> list[nn.Module]:
        """The modules from the bottom to the top, those of both directions side by side."""
        groups = [reader.groups() for reader in self.readers]  # type: ignore[operator]
        return [nn.ModuleList(level) for level in zip(*groups, strict=True)]


class SideFeatures(nn.Module):
    """What stands beside the vector of each word.

    Args:
        marks: how many marks there are, and the size of the vector of each; None = without.
        transformer: its features; None = without.
        language: those of language models; None = without.

    Attributes:
        width: features F of a word.
        causal: False, for `Backbone`: sentences are read as a whole.
    """

    causal = False

    def __init__(
        self,
        marks: tuple[int, int] | None = None,
        transformer: TransformerFeatures | None = None,
        language: LanguageFeatures | None = None,
    ) -> None:
        super().__init__()
        self.transformer, self.language, self.width, self.marks = transformer, language, 0, None
        if marks is not None:
            self.marks = WordEmbedding(OTHERS + marks[0], marks[1])
            self.width = MARKS * marks[1]
        self.width += sum(part.width for part in (transformer, language) if part is not None)

    def forward(
        self, batch: dict[str, Tensor], lengths: Tensor | None = None, state: tuple[Tensor, ...] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Features [B, T, F] of the words of a batch, and no state."""
        found = []
        if self.marks is not None:
            found.append(self.marks(batch["marks"]).flatten(2))
        if self.transformer is not None:
            found.append(self.transformer(batch["pieces"], lengths)[0])
        if self.language is not None:
            found.append(self.language(batch))
        return torch.cat(found, -1), ()
