"""Tagged sentences to train on and to score with: read, checked, one part held out."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gatework.data.text import Tagged
from gatework.data.text.schemes import PLAIN, check, detect
from gatework.data.wording import counted, quoted
from gatework.errors import InputError
from gatework.say import say

if TYPE_CHECKING:
    from gatework.tasks.tagging.settings import TagSettings


@dataclass(frozen=True)
class TaggedSet:
    """Sentences for a fit.

    Attributes:
        train: those to train on.
        held: those to score with; None where nothing is held out.
        scheme: how their tags spell entities, or "plain".
        unlabelled: texts for a language model.
    """

    train: Tagged
    held: Tagged | None
    scheme: str
    unlabelled: Sequence[str] = ()

    @classmethod
    def read(cls, data: Any, validation: Any, settings: TagSettings, percent: int, seed: int) -> TaggedSet:
        """Read and check the data; what is inferred is said.

        Args:
            data: as `read_tagged` takes it.
            validation: the held-out part; None = cut from the data.
            settings: columns and scheme.
            percent: of the sentences, drawn at random, are held out where no validation data are given; 0 = none.
            seed: of the draw.

        Raises:
            InputError: nothing to learn (no sentence, one tag), or tags that do not fit the scheme.
        """
        every = filled(settings.read(data))
        tags = _tags(every)
        scheme = settings.scheme if settings.scheme != "auto" else detect(tags)
        every = checked(every, scheme, settings.repair)
        counts = Counter(tag for own in _tags(every) for tag in own)
        if len(counts) < 2:
            raise InputError(
                f"every token has the tag {next(iter(counts))!r}; expected two tags or more. Is the tag column right?"
            )
        kinds = sorted({kind_of(name, scheme) for name in counts} - {""})
        found = counted(len(kinds), "tag") if scheme == PLAIN else f"{scheme} entities of {counted(len(kinds), 'kind')}"
        say(f"{counted(len(every), 'sentence')}, {counted(counts.total(), 'token')}; {found}: {quoted(kinds)}")
        if validation is not None:
            held = checked(filled(settings.read(validation)), scheme, settings.repair)
            say_unknown(held, counts, scheme, "the validation data")
            return cls(every, held, scheme)
        kept, out = held_out(every, percent, seed)
        return cls(every.subset(kept), every.subset(out) if out else None, scheme)

    @property
    def texts(self) -> list[str]:
        """The texts that a language model is trained on: those without tags, and the sentences to train on."""
        return [*self.unlabelled, *map(" ".join, self.train.sentences)]

    @property
    def plain(self) -> bool:
        """Whether tags stand for themselves and spell no entities."""
        return self.scheme == PLAIN

    def part(self, whole: bool) -> Tagged:
        """The sentences to train on: all of them, or those that are not held out."""
        if not whole or self.held is None:
            return self.train
        return replace(
            self.train,
            sentences=[*self.train.sentences, *self.held.sentences],
            tags=[*_tags(self.train), *_tags(self.held)],
            places=[*self.train.places, *self.held.places],
        )

    def data_hash(self) -> str:
        """A hash of all words and tags, of both parts, and of the texts without tags."""
        parts = [self.train.data_hash(), self.held.data_hash() if self.held else "", *self.unlabelled]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def checked(tagged: Tagged, scheme: str, repair: bool) -> Tagged:
    """Tags that are legal in `scheme`; InputError with the sentence, or mended and said."""
    if scheme == PLAIN:
        return tagged
    return replace(tagged, tags=check(_tags(tagged), scheme, tagged.places, repair=repair))


def say_unknown(tagged: Tagged, known: Iterable[str], scheme: str, name: str) -> None:
    """Say which tags, or kinds of entities, the network cannot give because the training data have none of them.

    Args:
        tagged: sentences to score with.
        known: tags of the training data, in any scheme that marks entities where `scheme` does.
        scheme: of the tags.
        name: what the sentences are called in the message.
    """
    kinds = {kind_of(tag, scheme) for tag in known}
    unknown = Counter(kind for own in _tags(tagged) for tag in own if (kind := kind_of(tag, scheme)) not in kinds)
    if unknown:
        say(
            f"{name}: {counted(unknown.total(), 'token')} of kinds that the training data do not have "
            f"({quoted(sorted(unknown))}) count as wrong"
        )


def kind_of(tag: str, scheme: str) -> str:
    """What kind of entity a tag is part of, "" for none; the tag itself where tags spell none."""
    return tag if scheme == PLAIN else tag[2:] if tag != "O" else ""


def held_out(tagged: Tagged, percent: int, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the sentences to train on and of those held out, drawn at random; equal sentences stay together."""
    equal: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, words in enumerate(tagged.sentences):
        equal[tuple(words)].append(number)
    groups = list(equal.values())
    random.Random(seed).shuffle(groups)
    wanted = round(len(tagged) * percent / 100)
    out: list[int] = []
    for group in groups[:-1]:
        if len(out) + len(group) <= wanted:
            out += group
    return sorted(set(range(len(tagged))).difference(out)), sorted(out)


def filled(tagged: Tagged) -> Tagged:
    """Without empty sentences, which teach and test nothing; said. InputError when no other is left."""
    full = [number for number, words in enumerate(tagged.sentences) if words]
    if len(full) < len(tagged):
        say(f"{counted(len(tagged) - len(full), 'sentence')} without a token left out")
    if not full:
        raise InputError("the data hold no sentence with a token; expected tagged tokens.")
    return tagged.subset(full)


def _tags(tagged: Tagged) -> list[list[str]]:
    if tagged.tags is None:
        raise InputError("the data hold no tags; expected a tag for each token.")
    return tagged.tags
