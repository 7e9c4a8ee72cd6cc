"""Made-up text from a small grammar: a corpus, reviews with their class, sentences with entities."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gatework.data.text.tagged import Tagged

_WHO = ("the baker", "our neighbour", "a sailor", "the old teacher", "my sister", "the gardener", "a young doctor")
_DID = ("opened", "painted", "carried", "mended", "sold", "found", "forgot")
_WHAT = ("the door", "a wooden chair", "two lamps", "the letter", "an umbrella", "the red bicycle", "some bread")
_WHEN = ("before noon", "on monday", "after the rain", "last week", "at night", "in spring")
_THING = ("kettle", "lamp", "chair", "radio", "backpack", "clock", "umbrella", "keyboard")
_GOOD = ("works perfectly", "is a pleasure to use", "looks lovely", "was worth every penny", "never let me down")
_BAD = ("broke after a day", "is a waste of money", "arrived scratched", "makes a terrible noise", "never worked")
_JUDGED = (
    "{thing} {counts}.",
    "{thing} {counts}, although it {concedes}.",
    "Although it {concedes}, it {counts}.",
    "{thing} {concedes}, but it {counts}.",
)
_PEOPLE = (("Ada", "Byron"), ("Mary", "Shelley"), ("Carl", "Gauss"), ("Emmy", "Noether"), ("Alan",), ("Rose",))
_PLACES = (("Lisbon",), ("New", "York"), ("Oslo",), ("Buenos", "Aires"), ("Kyoto",), ("Cape", "Town"))
_EITHER = (("Florence",), ("Jordan",), ("Austin",), ("Paris",), ("Charlotte",), ("Sydney",))  # people and places


def synthetic_corpus(seed: int = 0, sentences: int = 2000) -> str:
    """A text of one sentence a line; the same arguments give the same text.

    Example:
        >>> print(synthetic_corpus(sentences=2), end="")
        the gardener sold the letter on monday .
        a sailor opened the door before noon .
    """
    random = np.random.default_rng(seed)
    lines = (" ".join([*(_draw(random, part) for part in (_WHO, _DID, _WHAT, _WHEN)), "."]) for _ in range(sentences))
    return "".join(f"{line}\n" for line in lines)


def synthetic_reviews(seed: int = 0, reviews: int = 600) -> pd.DataFrame:
    """Reviews of things: columns `text` and `label` ("good" or "bad"); about one in thirty has the wrong label.

    Three in four both praise and blame; how the sentence is built says which of them counts, not which words it has.
    """
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(reviews):
        good = random.uniform() < 0.5
        text = f"{_draw(random, ('The', 'This', 'My new'))} {_draw(random, _THING)}"
        counts, concedes = _draw(random, _GOOD if good else _BAD), _draw(random, _BAD if good else _GOOD)
        text = _draw(random, _JUDGED).format(thing=text, counts=counts, concedes=concedes)
        if random.uniform() < 0.4:
            text += f" Bought {_draw(random, _WHEN)}."
        rows.append((text, "good" if good != (random.uniform() < 1 / 30) else "bad"))
    return pd.DataFrame(rows, columns=["text", "label"])


def synthetic_tagged(seed: int = 0, sentences: int = 400) -> Tagged:
    """Sentences with people and places in BIO tags; some names are both, so that the words around them decide."""
    random = np.random.default_rng(seed)
    found: list[tuple[list[str], list[str]]] = []
    for _ in range(sentences):
        tokens: list[str] = []
        tags: list[str] = []
        for part in _pattern(random):
            kind, phrase = part if isinstance(part, tuple) else ("", tuple(part.split()))
            tokens += phrase
            tags += [f"{'I' if i else 'B'}-{kind}" if kind else "O" for i in range(len(phrase))]
        found.append((tokens, tags))
    places = [f"sentence {number}" for number in range(1, sentences + 1)]
    return Tagged([tokens for tokens, _ in found], [tags for _, tags in found], places)


def _pattern(random: np.random.Generator) -> list[str | tuple[str, tuple[str, ...]]]:
    names = [*_PEOPLE, *_EITHER]
    person, other = (("PERSON", names[i]) for i in random.choice(len(names), size=2, replace=False))
    place = ("PLACE", [*_PLACES, *_EITHER][random.integers(len(_PLACES) + len(_EITHER))])
    patterns: list[list[str | tuple[str, tuple[str, ...]]]] = [
        [person, "moved to", place, _draw(random, _WHEN), "."],
        [person, "and", other, "met in", place, "."],
        [_draw(random, _WHO), _draw(random, _DID), _draw(random, _WHAT), "in", place, "."],
        [person, _draw(random, _DID), _draw(random, _WHAT), _draw(random, _WHEN), "."],
    ]
    return patterns[random.integers(4)]


def _draw(random: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[random.integers(len(options))]
