"""Column files: a token and its tags a line, a blank line after each sentence (CoNLL, CoNLL-U and their kin)."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from gatework.data.text.columns import Columns
from gatework.data.wording import counted
from gatework.errors import InputError
from gatework.say import say

Kept = tuple[list[list[str]], list[list[str]] | None, list[str]]  # tokens, tags and place of each sentence
TOKEN_NAMES = ("token", "tokens", "word", "words", "form", "sentence", "text")
TAG_NAMES = (
    "tag", "tags", "ner_tags", "ner", "slots", "slot", "entities", "labels", "label", "upos", "pos", "pos_tags", "xpos",
)  # fmt: skip
_ENDINGS = (".conll", ".conllu", ".iob", ".iob2", ".bio", ".bioes", ".bmes", ".col")
_DOCUMENT = "-DOCSTART-"
_CONLLU = 10  # columns of CoNLL-U: number, form, lemma, UPOS ...


def is_column_file(text: str, kind: str, labelled: bool) -> bool:
    """Whether a file is one of columns rather than a table or plain text.

    It is by its ending; else when it has blank lines between sentences, or the same number of fields, without spaces
    inside, in each line.
    """
    if kind in _ENDINGS:
        return True
    lines = text.strip("\n").split("\n")
    fields = {len(_fields(line, "\t" in lines[0])) for line in lines[:1000] if line.strip() and line[:1] != "#"}
    if any(not line.strip() for line in lines):
        return len(fields) == 1 and (labelled or fields == {1} or "\t" in lines[0] or fields == {2})
    if len(fields) != 1 or fields == {1}:
        return False
    return "\t" not in lines[0] or not any(" " in line.strip() for line in lines[:1000])


def read_conll(
    path: Path, text: str, token_column: str | int | None, tag_column: str | int | None, labelled: bool
) -> Kept:
    """Tokens and tags of each sentence.

    Columns stand between tabs where all lines have them, else between white space. Lines that begin with # and have
    another number of fields than the file are comments. A first line of column names is known by them.

    Raises:
        InputError: lines with other numbers of fields, columns that are not there, no sentence.
    """
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1)]
    tabs = all("\t" in line for _, line in lines[:1000] if line.strip() and line[:1] != "#")
    rows = [(number, _fields(line, tabs)) for number, line in lines]
    width = Counter(len(fields) for _, fields in rows if fields).most_common(1)[0][0]
    rows = [(number, fields) for number, fields in rows if len(fields) == width or not fields or fields[0][:1] != "#"]
    wrong = next(((number, fields) for number, fields in rows if fields and len(fields) != width), None)
    if wrong is not None:
        raise InputError(
            f"line {wrong[0]} of {path} has {counted(len(wrong[1]), 'field')}, {' '.join(wrong[1])[:40]!r}; most lines "
            f"have {width}. Expected a token and its tag in every line and a blank line after each sentence; mend it."
        )
    first = next(fields for _, fields in rows if fields)
    numbered = width == _CONLLU and re.fullmatch(r"\d+([-.]\d+)?", first[0]) is not None
    names, headed = _names(first, width, numbered, token_column, tag_column)
    columns = Columns(path.name, {name: [] for name in names}, ())
    token, tag = _places(columns, token_column, tag_column, labelled, headed or numbered)
    sentences: list[list[str]] = []
    tags: list[list[str]] = []
    places: list[str] = []
    fresh, skip = True, headed
    for number, fields in rows:
        if not fields:
            fresh = True
        elif skip:
            skip = False
        elif fields[token] == _DOCUMENT or (numbered and not fields[0].isdigit()):
            continue  # the mark of a document; a range of CoNLL-U's or a word that was left out
        else:
            if fresh:
                sentences.append([])
                tags.append([])
                places.append(f"{path.name} line {number}")
                fresh = False
            sentences[-1].append(fields[token])
            tags[-1].append(fields[tag])
    if not sentences:
        raise InputError(f"{path} holds no sentence. Expected a token and its tag a line; check how it was written.")
    return sentences, tags if labelled else None, places


def _names(
    first: list[str], width: int, numbered: bool, token: str | int | None, tag: str | int | None
) -> tuple[list[str], bool]:
    """Names of the columns and whether the first line holds them."""
    if numbered:
        return ["id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc"], False
    known = {*TOKEN_NAMES, *TAG_NAMES, *(str(given).casefold() for given in (token, tag) if given is not None)}
    if width > 1 and len(set(first)) == width and all(field.casefold() in known for field in first):
        return first, True
    if isinstance(tag, str) and tag in first and len(set(first)) == width:
        return first, True
    return [f"column{i}" for i in range(1, width + 1)], False


def _places(
    columns: Columns, token: str | int | None, tag: str | int | None, labelled: bool, named: bool
) -> tuple[int, int]:
    """The positions of the columns of tokens and tags."""
    names = list(columns.values)
    if labelled and len(names) == 1 and tag is None:
        raise InputError(f"{columns.name} has one column. Expected a token and its tag in every line.")
    found_token = columns.known(TOKEN_NAMES) if named else None
    found_tag = columns.known(("upos", *TAG_NAMES)) if named else None
    token_name = columns.named(token, "token_column") if token is not None else found_token or names[0]
    if tag is None or not labelled:
        tag_name = found_tag or names[-1]
    else:
        tag_name = columns.named(tag, "tag_column")
    if labelled and (tag is None or token is None) and (named or len(names) > 2):
        say(f"tokens: column {token_name!r}; tags: column {tag_name!r} of {len(names)}")
    return names.index(token_name), names.index(tag_name)


def _fields(line: str, tabs: bool) -> list[str]:
    if not line.strip():
        return []
    return [field.strip() for field in line.split("\t")] if tabs and "\t" in line else line.split()
