"""Tokens as vectors: a row of a learned matrix each, and features that a network reads from a word's characters."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from gatework.errors import InputError
from gatework.nn.dropout import check_rate

PADDING = 0  # the id of what fills a batch up to its longest sequence


class WordEmbedding(nn.Module):
    """A learned vector for each token; that of the padding, id 0, is zero and stays so, whatever shares the matrix.

    Args:
        tokens: size V of the vocabulary, padding included, >= 1.
        width: features E of a vector, >= 1.
        word_dropout: probability in [0, 1) that a token is dropped, in training: its vector is zero wherever it stands
            in the batch, and others are scaled by 1 / (1 - word_dropout).
        vectors: [V, E] to start from, such as word vectors of a file; row 0 is not used. None draws from
            U(-sqrt(3 / E), sqrt(3 / E)), which gives variance 1 / E.

    Attributes:
        weight: the parameter [V, E], to be shared with an output layer where wanted (weight tying: Press & Wolf,
            arXiv:1608.05859).

    Raises InputError for arguments out of range and vectors of another shape.

    Source: Gal & Ghahramani, arXiv:1512.05287, section 4.2 (dropout of whole rows); Ma & Hovy, arXiv:1603.01354,
    section 3.1 (the start).
    """

    def __init__(self, tokens: int, width: int, word_dropout: float = 0.0, vectors: Tensor | None = None) -> None:
        super().__init__()
        for name, value in (("tokens", tokens), ("width", width)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InputError(f"{name} is {value!r}; expected a whole number >= 1.")
        if vectors is not None and tuple(vectors.shape) != (tokens, width):
            raise InputError(
                f"vectors has shape {tuple(vectors.shape)}; expected ({tokens}, {width}), a row for each token."
            )
        self.tokens, self.width = tokens, width
        self.word_dropout = check_rate("word_dropout", word_dropout)
        self.weight = nn.Parameter(torch.empty(tokens, width))
        self.reset_parameters()
        if vectors is not None:
            with torch.no_grad():
                self.weight[1:] = vectors[1:].to(self.weight)

    def reset_parameters(self) -> None:
        """Draw every vector anew; the padding's is zero."""
        bound = math.sqrt(3 / self.width)
        with torch.no_grad():
            self.weight.uniform_(-bound, bound)
            self.weight[PADDING] = 0

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors [..., E] of the whole numbers `ids` [...] in 0..V-1.

        Raises InputError for numbers outside, and for a tensor of another kind.
        """
        if ids.dtype not in (torch.int64, torch.int32):
            raise InputError(f"ids is {ids.dtype}; expected whole numbers, torch.long or torch.int32.")
        try:
            found = functional.embedding(ids, self.weight, PADDING)
        except IndexError as error:
            low, high = int(ids.min()), int(ids.max())
            raise InputError(f"ids has numbers from {low} to {high}; expected 0..{self.tokens - 1}.") from error
        return found * self._kept(ids).unsqueeze(-1)

    def _kept(self, ids: Tensor) -> Tensor:
        """What each vector is multiplied by: 0 for padding, whose row moves where an output layer shares the matrix."""
        if not self.training or not self.word_dropout:
            return (ids != PADDING).to(self.weight.dtype)
        rows = torch.empty(self.tokens, dtype=self.weight.dtype, device=ids.device)
        rows.bernoulli_(1 - self.word_dropout).mul_(1 / (1 - self.word_dropout))
        rows[PADDING] = 0
        return rows[ids]

    def extra_repr(self) -> str:
        """Sizes and rate."""
        return f"{self.tokens}, {self.width}" + (f", word_dropout={self.word_dropout}" if self.word_dropout else "")
