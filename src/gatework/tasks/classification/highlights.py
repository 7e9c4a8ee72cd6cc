"""Which words a decision hangs on: what leaving each out changes, and where the network looked, as a page to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from gatework.data.text import Tokens
from gatework.data.text.encoding import PAD, UNKNOWN
from gatework.tasks.classification.scores import Array
from gatework.tasks.text.inputs import Encoded
from gatework.tasks.text.page import marked, page, section, table

MOST = 50
"""Texts that a page shows at most: every word costs a run of the network."""

_TABLE = 8  # words in the table under a text
_BLOCK = 256  # texts run at once
_ABOUT = (
    "Marked is what the probability of the predicted class loses when a word is hidden from the network, in percentage "
    "points. Solid underline: the word speaks for the class. Dashed underline: against it. The darker, the stronger; "
    "the strongest carry their number."
)

Pieces = Sequence[str]


@dataclass(frozen=True)
class Highlight:
    """One text with what each of its words does.

    Attributes:
        heading: what was predicted.
        words: as they stand in the text, with the blanks before them; together they are the text.
        effects: of each word: probability with it less probability without it, -1 to 1.
        attention: of each word, 0 to 1 and 1 in all; empty where the network does not weigh words.
    """

    heading: str
    words: tuple[str, ...]
    effects: tuple[float, ...]
    attention: tuple[float, ...] = ()

    def html(self) -> str:
        """As a section of a page; all text is escaped."""
        notes = [f"{100 * effect:+.1f}" for effect in self.effects]
        order = sorted(range(len(self.words)), key=lambda place: -abs(self.effects[place]))[:_TABLE]
        head = ["word", "effect", *(["attention"] if self.attention else [])]
        rows = [
            [self.words[k].strip(), notes[k], *([f"{100 * self.attention[k]:.1f} %"] if self.attention else [])]
            for k in order
        ]
        return section(self.heading, marked(self.words, self.effects, notes), table(head, rows))


def highlights_page(title: str, highlights: Sequence[Highlight], left_out: int = 0) -> str:
    """All of them as one page that stands alone; `left_out` further texts are not shown, and this is said."""
    about = _ABOUT + (f" {left_out} further texts are not shown." if left_out else "")
    return page(title, about, [each.html() for each in highlights])


def group(pieces: Pieces) -> list[list[int]]:
    """Numbers of the pieces of each word: one begins with a blank, or after a piece that ends with one."""
    words: list[list[int]] = []
    for number, piece in enumerate(pieces):
        begins = not words or piece[:1].isspace() or pieces[number - 1][-1:].isspace()
        if begins:
            words.append([number])
        else:
            words[-1].append(number)
    return words


def occlude(
    words: Sequence[Sequence[int]], column: int, probabilities: Callable[[Sequence[Sequence[int]]], Array]
) -> tuple[float, ...]:
    """Effect of every word on one class: probability with it less probability with it hidden.

    Args:
        words: places in the text of each word's pieces.
        column: number of the class.
        probabilities: [N, K] of the text with N choices of places hidden.

    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks (ECCV 2014), section 4.2; Li, Monroe &
    Jurafsky, Understanding neural networks through representation erasure, arXiv 1612.08220, section 3.
    """
    every: list[Sequence[int]] = [[], *words]
    found = [probabilities(every[start : start + _BLOCK])[:, column] for start in range(0, len(every), _BLOCK)]
    whole, *without = np.concatenate(found).tolist()
    return tuple(whole - value for value in without)


def hide(encoded: Encoded, hidden: Sequence[Sequence[int]]) -> Encoded:
    """One encoded text over and over, each time with other places read as an unknown word without a spelling."""
    length = len(encoded.ids.flat)
    places = torch.tensor([row * length + place for row, own in enumerate(hidden) for place in own], dtype=torch.long)
    ids, forms = encoded.ids.flat.repeat(len(hidden)), encoded.forms.flat.repeat(len(hidden))
    ids[places], forms[places] = UNKNOWN, PAD
    offsets = torch.arange(len(hidden) + 1) * length
    return replace(encoded, ids=Tokens(ids, offsets), forms=Tokens(forms, offsets))
