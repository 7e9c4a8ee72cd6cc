"""How surprised a language model is by each token of a text: as numbers, as a table, as coloured text in a web page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gatework.tasks.text.page import page

if TYPE_CHECKING:
    import pandas as pd

_FULL = 12.0  # bits from which the colour gets no deeper
_DEEPEST = 0.55  # its opacity: the letters above it stay readable
_LEGEND = (0, 2, 4, 8, 12)


@dataclass(frozen=True)
class Surprisal:
    """The surprisal of every token of a text, read in one state from the beginning.

    Attributes:
        text: what was read.
        pieces: the part of the text that each of the N tokens stands for; joined they are the text as it was read.
        nats: [N] -ln p of each token given all before it.
        ranks: [N] place of the token among all, by probability; 1 = the most probable.
        unknown: [N] whether the token is not in the vocabulary: its spelling is not in the count.
    """

    text: str
    pieces: list[str]
    nats: npt.NDArray[np.float64]
    ranks: npt.NDArray[np.int64]
    unknown: npt.NDArray[np.bool_]

    @property
    def bits(self) -> npt.NDArray[np.float64]:
        """Surprisal in bits, [N]."""
        return self.nats / math.log(2)

    @property
    def perplexity(self) -> float:
        """The exponential of the mean surprisal of a token."""
        return math.exp(float(self.nats.mean()))

    @property
    def bits_per_character(self) -> float:
        """All bits over the characters of the text; comparable between kinds of tokens."""
        return float(self.bits.sum()) / max(len(self.text), 1)

    def table(self) -> pd.DataFrame:
        """A row for each token: its text, bits, rank, and whether it is unknown."""
        import pandas as pd

        columns = {"token": self.pieces, "bits": self.bits.round(4), "rank": self.ranks, "unknown": self.unknown}
        return pd.DataFrame(columns)

    def __str__(self) -> str:
        facts = (
            f"{len(self.pieces)} tokens, {len(self.text)} characters: {float(self.bits.sum()):.1f} bits, "
            f"{self.bits_per_character:.3f} bits per character, perplexity {self.perplexity:.2f} per token"
        )
        count = int(self.unknown.sum())
        return f"{facts}, {count} unknown" if count else facts

    def page(self, title: str = "Surprisal") -> str:
        """A web page that needs nothing else: the text, each token the deeper in colour the more it surprised."""
        tokens = zip(self.pieces, self.bits.tolist(), self.ranks.tolist(), self.unknown.tolist(), strict=True)
        legend = " ".join(_coloured(f" {bits} ", bits, "") for bits in _LEGEND)
        text = "".join(_token(*token) for token in tokens)
        about = f"{self}. Point at a token for its bits, and its place among all tokens by probability."
        return page(title, about, [f'<p class="text">bits: {legend}</p>', f'<p class="text">{text}</p>'])

    def _repr_html_(self) -> str:
        return self.page()


def _token(piece: str, bits: float, rank: int, unknown: bool) -> str:
    note = f"{bits:.2f} bits, rank {rank}" + (", unknown" if unknown else "")
    return _coloured(piece.replace("\n", "\u21b5\n"), bits, note)


def _coloured(text: str, bits: float, note: str) -> str:
    share = _DEEPEST * min(max(bits, 0.0), _FULL) / _FULL
    return f'<span style="background:rgba(176,60,28,{share:.2f})" title="{escape(note)}">{escape(text)}</span>'
