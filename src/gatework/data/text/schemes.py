"""How tags spell entities: BIO, IOB1, BIOES and BILOU, read, checked and turned into one another.

`B-PER I-PER O` in BIO is `I-PER I-PER O` in IOB1, `B-PER E-PER O` in BIOES and `B-PER L-PER O` in BILOU. Tags that
spell none, as parts of speech, are of the scheme "plain".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from gatework.data.wording import counted, listed
from gatework.errors import InputError
from gatework.say import say

PLAIN = "plain"
SCHEMES = {"BIO": "BIO", "IOB1": "BIO", "BIOES": "BIOES", "BILOU": "BILOU"}  # the letters of each
_NAMELESS = "_"  # the type of an entity whose tags are bare letters
_TO_BIOES = {"L": "E", "U": "S"}
_TO_BILOU = {"E": "L", "S": "U"}
_END_BEFORE = {"B": "BSO", "I": "BSO", "E": "BIESO", "S": "BIESO"}  # an entity with this letter ends before these
_START_AFTER = {"B": "BIESO", "S": "BIESO", "E": "ESO", "I": "ESO"}  # this letter starts one after these

Span = tuple[int, int, str]


def spans(tags: Sequence[str], scheme: str = "BIO") -> list[Span]:
    """The entities that tags spell: (first token, token after the last, type).

    Illegal sequences are read as conlleval.pl and seqeval's default mode do: a tag inside an entity that follows no tag
    of the same entity starts one. Tags of the scheme "plain" spell none.

    Example:
        >>> spans(["B-PER", "I-PER", "O", "I-LOC"])
        [(0, 2, 'PER'), (3, 4, 'LOC')]
    """
    if scheme == PLAIN:
        return []
    found: list[Span] = []
    letter_before, type_before, start = "O", _NAMELESS, 0
    for place, tag in enumerate([*tags, "O"]):
        letter, kind = _parts(tag)
        letter = _TO_BIOES.get(letter, letter) if scheme == "BILOU" else letter
        other = kind != type_before
        if letter_before != "O" and (other or letter in _END_BEFORE.get(letter_before, "")):
            found.append((start, place, type_before))
        if letter != "O" and (other or letter_before in _START_AFTER.get(letter, "")):
            start = place
        letter_before, type_before = letter, kind
    return found


def spell(entities: Iterable[Span], length: int, scheme: str) -> list[str]:
    """The tags of a sentence of `length` tokens with these entities, which are in order and do not overlap."""
    _require(scheme)
    tags = ["O"] * length
    for start, stop, kind in entities:
        if scheme in ("BIOES", "BILOU"):
            letters = "S" if stop - start == 1 else "B" + "I" * (stop - start - 2) + "E"
        else:
            letters = "B" + "I" * (stop - start - 1)
            if scheme == "IOB1" and (start == 0 or _parts(tags[start - 1]) not in (("I", kind), ("B", kind))):
                letters = "I" * (stop - start)
        for place, letter in enumerate(letters, start):
            letter = _TO_BILOU.get(letter, letter) if scheme == "BILOU" else letter
            tags[place] = letter if kind == _NAMELESS else f"{letter}-{kind}"
    return tags


def convert(tags: Sequence[str], source: str, target: str) -> list[str]:
    """The tags of one sentence in another scheme; exact there and back for legal tags, illegal ones as `spans` reads.

    Example:
        >>> convert(["B-PER", "I-PER", "O", "B-LOC"], "BIO", "BIOES")
        ['B-PER', 'E-PER', 'O', 'S-LOC']
    """
    _require(source)
    return spell(spans(tags, source), len(tags), target)


def detect(tags: Iterable[Sequence[str]]) -> str:
    """The scheme of all tags of a data set: "BIO", "IOB1", "BIOES", "BILOU", or "plain" where they spell no entities.

    Tags that break the rules of both BIO and IOB1 are called BIO; `check` tells where.
    """
    sentences = list(tags)
    distinct = {tag for sentence in sentences for tag in sentence}
    parts = {_parts(tag) for tag in distinct}
    letters = {letter for letter, _ in parts}
    bare = all(len(tag) == 1 for tag in distinct)
    typed = all(tag == "O" or tag[1:2] == "-" for tag in distinct)
    if distinct <= {"O"} or not (typed or (bare and {"O", "B"} <= letters)):
        return PLAIN
    if letters <= set("BIO"):
        for scheme in ("BIO", "IOB1"):
            if not any(_faults(sentence, scheme) for sentence in sentences):
                return scheme
        return "BIO"
    return next((scheme for scheme in ("BIOES", "BILOU") if letters <= set(scheme)), PLAIN)


def legal(names: Sequence[str], scheme: str) -> tuple[Tensor, Tensor, Tensor]:
    """Which tags may follow which.

    Returns:
        follows, bool [K, K]: whether the tag of the column may come right after that of the row | starts, bool [K]:
        may begin a sentence | ends, bool [K]: may end it.
    """
    if scheme == PLAIN:
        every = torch.ones(len(names), len(names), dtype=torch.bool)
        return every, every[0].clone(), every[0].clone()
    _require(scheme)
    follows = torch.tensor([[_may_follow(name, after, scheme) for after in names] for name in names])
    starts = torch.tensor([_may_follow("O", name, scheme) for name in names])
    ends = torch.tensor([_may_follow(name, "O", scheme) for name in names])
    return follows, starts, ends


def check(tags: Sequence[Sequence[str]], scheme: str, places: Sequence[str], repair: bool = False) -> list[list[str]]:
    """Tags that keep to the rules of their scheme.

    Args:
        tags: of each sentence.
        scheme: theirs.
        places: where each sentence came from.
        repair: rewrite sentences that break a rule as `spans` reads them (said), rather than raise.

    Raises:
        InputError: a tag that is not of the scheme, or without `repair` one that may not stand where it does.
    """
    if scheme == PLAIN:
        return [list(sentence) for sentence in tags]
    _require(scheme)
    letters = set(SCHEMES[scheme])
    foreign = {tag for sentence in tags for tag in sentence if not _belongs(tag, letters)}
    if foreign:
        at = next(i for i, sentence in enumerate(tags) if foreign & set(sentence))
        tag = next(tag for tag in tags[at] if tag in foreign)
        raise InputError(
            f"the tag {tag!r} in {places[at]} is not one of {scheme}. Expected O, or one of "
            f"{', '.join(sorted(letters - {'O'}))} with a hyphen and a type, as B-PER; mend it, or choose another "
            "scheme."
        )
    wrong = [i for i, sentence in enumerate(tags) if _faults(sentence, scheme)]
    if not wrong:
        return [list(sentence) for sentence in tags]
    at = _faults(tags[wrong[0]], scheme)[0]
    sentence = tags[wrong[0]]
    before = f"after {sentence[at - 1]!r}" if at else "at the start of a sentence"
    what = f"{sentence[at]!r} {before}" if at < len(sentence) else f"{sentence[-1]!r} at the end of a sentence"
    if not repair:
        others = f", so do {counted(len(wrong) - 1, 'other sentence')}" if len(wrong) > 1 else ""
        raise InputError(
            f"{places[wrong[0]]}, token {min(at, len(sentence) - 1) + 1}, breaks the rules of {scheme}: {what}"
            f"{others}. Expected every entity to begin and end by the rules; mend the tags, or pass repair=True to "
            "read each such tag as the start of an entity."
        )
    say(
        f"tags of {counted(len(wrong), 'sentence')} broke the rules of {scheme} and were repaired, the first {what} in "
        f"{listed([places[i] for i in wrong], 3)}"
    )
    mended = [list(sentence) for sentence in tags]
    for i in wrong:
        mended[i] = convert(tags[i], scheme, scheme)
    return mended


def _parts(tag: str) -> tuple[str, str]:
    """Letter and type of a tag."""
    if not tag or tag == "O":
        return "O", _NAMELESS
    return tag[0], tag[1:].split("-", 1)[-1] or _NAMELESS


def _belongs(tag: str, letters: set[str]) -> bool:
    return tag == "O" or (tag[:1] in letters and tag[:1] != "O" and (len(tag) == 1 or (tag[1] == "-" and len(tag) > 2)))


@lru_cache(maxsize=1 << 14)
def _may_follow(tag: str, after: str, scheme: str) -> bool:
    """Whether `after` may come right after `tag`; "O" stands for the start and the end of a sentence too."""
    (letter, kind), (letter_after, kind_after) = _parts(tag), _parts(after)
    letter, letter_after = _TO_BIOES.get(letter, letter), _TO_BIOES.get(letter_after, letter_after)
    same = letter in "BI" and kind == kind_after  # the entity could go on
    if scheme == "BIO":
        return letter_after != "I" or same
    if scheme == "IOB1":
        return letter_after != "B" or same
    return same if letter_after in "IE" else letter not in "BI"


def _faults(tags: Sequence[str], scheme: str) -> list[int]:
    """The places of tags that may not follow the one before; the length of the sentence where its end may not."""
    return [i for i, (tag, after) in enumerate(pairwise(["O", *tags, "O"])) if not _may_follow(tag, after, scheme)]


def _require(scheme: str) -> None:
    if scheme not in SCHEMES:
        raise InputError(f"there is no scheme of tags {scheme!r}. Expected {', '.join(map(repr, SCHEMES))}.")
