"""The baseline of taggers: every word gets the tag it had most often, an unseen word the usual tag of rare ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

MOST_FREQUENT = "most frequent tag"


@dataclass(frozen=True)
class MostFrequent:
    """Tags words by what they were in training, whatever stands around them.

    Attributes:
        tags: {word: its most frequent tag}; the tag seen first wins a tie.
        unseen: tag of every other word: the most frequent one among words seen once, which are most like unseen ones.
    """

    tags: dict[str, str]
    unseen: str

    @classmethod
    def of(cls, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> MostFrequent:
        """From the words and tags of the training part, at least one of them."""
        counts: dict[str, Counter[str]] = {}
        for words, own in zip(sentences, tags, strict=True):
            for word, tag in zip(words, own, strict=True):
                counts.setdefault(word, Counter())[tag] += 1
        best = {word: count.most_common(1)[0][0] for word, count in counts.items()}
        once = Counter(best[word] for word, count in counts.items() if count.total() == 1) or Counter(best.values())
        return cls(best, once.most_common(1)[0][0])

    def __call__(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """A tag for each word of each sentence."""
        return [[self.tags.get(word, self.unseen) for word in words] for words in sentences]

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        names = sorted({*self.tags.values(), self.unseen})
        number = {name: place for place, name in enumerate(names)}
        return {
            "names": names,
            "unseen": number[self.unseen],
            "words": list(self.tags),
            "tags": [number[tag] for tag in self.tags.values()],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What `to_json` gave; KeyError, IndexError, TypeError or ValueError when it is not that."""
        names = [str(name) for name in value["names"]]
        pairs = zip(value["words"], value["tags"], strict=True)
        return cls({str(word): names[tag] for word, tag in pairs}, names[value["unseen"]])
