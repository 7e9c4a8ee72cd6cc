"""Texts for a language model: what is trained on, what is held out, and the stream of token ids that they make."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from gatework.data.wording import counted
from gatework.say import say

if TYPE_CHECKING:
    from torch import Tensor

    from gatework.data.text import Vocabulary

Direction = Literal["forward", "backward"]

_MANY = 20  # texts from which on whole ones are held out
_LEAST = 100  # characters without which a held-out part says nothing
_FAR = 10_000  # characters within which a better place to cut is looked for


@dataclass(frozen=True)
class Corpus:
    """Texts to train on and texts held out, in their order."""

    train: list[str]
    held: list[str]

    def data_hash(self) -> str:
        """Of every text and which part it is in."""
        digest = hashlib.sha256()
        for part in (self.train, self.held):
            digest.update(str(len(part)).encode())
            for text in part:
                data = text.encode("utf-8", "surrogatepass")
                digest.update(f" {len(data)} ".encode() + data)
        return digest.hexdigest()

    @property
    def characters(self) -> int:
        """Of the texts to train on."""
        return sum(map(len, self.train))


def split(texts: Sequence[str], percent: int, seed: int) -> Corpus:
    """Hold out whole texts drawn at random where there are many, else the end of what they make together.

    Args:
        texts: 1 or more.
        percent: of the texts, or of the characters, 0 to 50.
        seed: of the draw.
    """
    total = sum(map(len, texts))
    if not percent or total * percent < 100 * _LEAST:
        say(f"nothing is held out: {'too short, ' + counted(total, 'character') if percent else 'holdout is 0'}")
        return Corpus(list(texts), [])
    if len(texts) >= _MANY:
        count = max(round(len(texts) * percent / 100), 1)
        drawn = set(random.Random(seed).sample(range(len(texts)), count))
        say(f"held out: {count} of {len(texts)} texts, drawn at random")
        train = [text for number, text in enumerate(texts) if number not in drawn]
        return Corpus(train, [texts[number] for number in sorted(drawn)])
    say(f"held out: the last {percent} % of {total} characters")
    left, number = total * (100 - percent) // 100, 0
    while left >= len(texts[number]):
        left -= len(texts[number])
        number += 1
    place = _gap(texts[number], left)
    train, held = [*texts[:number], texts[number][:place]], [texts[number][place:], *texts[number + 1 :]]
    return Corpus([text for text in train if text], [text for text in held if text])


def stream(vocabulary: Vocabulary, texts: Sequence[str], direction: Direction = "forward") -> Tensor:
    """The ids of texts in one row, long [R]: <eos>, then each text and <eos>; reversed as a whole when backward.

    A line break at the end of a text counts as its <eos>.
    """
    from gatework.data.text.encoding import END

    ids = vocabulary.encode_all([text.removesuffix("\n") for text in texts]).stream().long()
    ids = torch.cat([torch.tensor([END]), ids])
    return ids.flip(0) if direction == "backward" else ids


def length(texts: Sequence[str]) -> int:
    """Characters that `stream` predicts: those of the texts, and the end of each."""
    return sum(len(text.removesuffix("\n")) + 1 for text in texts)


def _gap(text: str, place: int) -> int:
    """After the line break, or else the space, that comes next after `place`; `place` where neither is near."""
    for mark in ("\n", " "):
        found = text.find(mark, place, place + _FAR)
        if 0 <= found < len(text) - 1:
            return found + 1
    return place
