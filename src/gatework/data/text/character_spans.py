"""Entities given by where they begin and end in a text, as tags of its words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gatework.data.text.schemes import Span, spell
from gatework.data.text.tokenise import word_places
from gatework.data.wording import counted
from gatework.errors import InputError
from gatework.say import say

SPAN_NAMES = ("spans", "entities", "annotations", "labels", "label")


def tags_of_spans(
    texts: Sequence[str], spans: Sequence[Sequence[Any]], places: Sequence[str]
) -> tuple[list[list[str]], list[list[str]]]:
    """The words of each text and their tags in BIO.

    A word that a span touches is part of it, as a whole (how many spans were widened so is said).

    Args:
        texts: N.
        spans: of each text, objects with start, end and label (or type, tag, entity), or [start, end, label];
            characters from 0, the end exclusive.
        places: where each text came from.

    Raises:
        InputError: a span that is not of these kinds, lies outside the text, touches no word or overlaps another.
    """
    sentences: list[list[str]] = []
    tags: list[list[str]] = []
    widened = 0
    for text, own, place in zip(texts, spans, places, strict=True):
        bounds = word_places(text)
        entities: list[Span] = []
        for start, stop, kind in sorted(_span(span, text, place) for span in own):
            touched = [i for i, (first, last) in enumerate(bounds) if first < stop and last > start]
            shown = f"{place} has the span {start} to {stop} ({kind}), {text[start:stop]!r},"
            if not touched:
                raise InputError(f"{shown} which holds no word. Expected the characters of words; mend it.")
            if entities and touched[0] < entities[-1][1]:
                raise InputError(
                    f"{shown} which overlaps the one before it. Expected spans that share no word; leave one out."
                )
            widened += bounds[touched[0]][0] < start or bounds[touched[-1]][1] > stop
            entities.append((touched[0], touched[-1] + 1, kind))
        sentences.append([text[first:last] for first, last in bounds])
        tags.append(spell(entities, len(bounds), "BIO"))
    if widened:
        say(f"{counted(widened, 'span')} began or ended inside a word and were widened to whole words")
    return sentences, tags


def _span(span: Any, text: str, place: str) -> tuple[int, int, str]:
    if isinstance(span, Mapping):
        kind = next((span[key] for key in ("label", "type", "tag", "entity") if key in span), None)
        parts: list[Any] = [span.get("start"), span.get("end", span.get("stop")), kind]
    else:
        parts = list(span) if isinstance(span, Sequence) and len(span) == 3 else []
    if len(parts) != 3 or not all(type(part) is int for part in parts[:2]) or not isinstance(parts[2], str):
        raise InputError(
            f'{place} has the span {str(span)[:60]!r}. Expected {{"start": 0, "end": 4, "label": "PER"}} or '
            '[0, 4, "PER"]; mend it.'
        )
    start, stop, kind = parts
    if not 0 <= start < stop <= len(text):
        raise InputError(
            f"{place} has a span from {start} to {stop} in a text of {len(text)} characters. Expected 0 <= start < end "
            f"<= {len(text)}; mend it."
        )
    return start, stop, kind
