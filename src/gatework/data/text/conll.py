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
_LOOK = 1000  # lines that are looked at to tell kinds of files apart
_CONLLU = 10  # columns of CoNLL-U: number, form, lemma, UPOS ...


def is_column_file(text: str, kind: str, labelled: bool) -> bool:
    """Whether a file is one of columns rather than a table with a row a sentence, or a text a line.

    It is by its ending. Else it is none where a cell between tabs holds several words, unless blank lines part
    sentences; and without tags, lines between spaces must all have as many fields and the last ones come again.
    """
    if kind in _ENDINGS:
        return True
    lines = text.strip("\n").split("\n")[:_LOOK]
    parted = any(not line.strip() for line in lines)
    rows = [line for line in lines if line.strip() and line[:1] != "#"]
    if rows and "\t" in rows[0]:
        return parted or not any(" " in line.strip() for line in rows)
    if labelled:
        return len(rows) > 0 and _width(rows[0], False) > 1
    fields = [line.split() for line in rows]
    alike = len({len(row) for row in fields}) == 1
    last = {row[-1] for row in fields}
    return parted and alike and (len(fields[0]) == 1 or len(last) <= len(fields) // 2)


def read_conll(
    path: Path, text: str, token_column: str | int | None, tag_column: str | int | None, labelled: bool
) -> Kept:
    """Tokens and tags of each sentence.

    Columns stand between tabs where all lines have them, else between white space. Lines that begin with # and have
    another number of fields than the file are comments. A first line of column names is known by them.

    Raises:
        InputError: lines with other numbers of fields, columns that are not there, no sentence.
    """
    lines = text.split("\n")
    tabs = all("\t" in line for line in lines[:_LOOK] if line.strip() and line[:1] != "#")
    widths = Counter(_width(line, tabs) for line in lines if line and not line.isspace())
    width = widths.most_common(1)[0][0]
    first = _fields(next(line for line in lines if _width(line, tabs) == width and line.strip()), tabs)
    numbered = width == _CONLLU and re.fullmatch(r"\d+([-.]\d+)?", first[0]) is not None
    names, headed = _names(first, width, numbered, token_column, tag_column)
    columns = Columns(path.name, {name: [] for name in names}, ())
    token, tag = _places(columns, token_column, tag_column, labelled, headed or numbered)
    sentences: list[list[str]] = []
    tags: list[list[str]] = []
    places: list[str] = []
    fresh, skip = True, headed
    for number, line in enumerate(lines, 1):
        fields = _fields(line, tabs)
        if not fields:
            fresh = True
        elif len(fields) != width:
            if fields[0][:1] != "#":
                raise InputError(
                    f"line {number} of {path} has {counted(len(fields), 'field')}, {' '.join(fields)[:40]!r}; most "
                    f"lines have {width}. Expected a token and its tag in every line and a blank line after each "
                    "sentence; mend it."
                )
        elif skip:
            skip = False
        elif fields[token] != _DOCUMENT and (not numbered or fields[0].isdigit()):  # else a range or a word left out
            if fresh:
                sentences.append([])
                tags.append([])
                places.append(f"{path.name} line {number}")
                fresh = False
            word, name = fields[token].strip(), fields[tag].strip()
            if not word or not name:
                missing = "tag" if word else "token"
                raise InputError(f"line {number} of {path} has no {missing}: {line!r}. Expected both; mend it.")
            sentences[-1].append(word)
            tags[-1].append(name)
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
    if labelled and tag_name == token_name:
        raise InputError(f"column {tag_name!r} is named as tokens and as tags. Expected two columns; name another one.")
    if labelled and (tag is None or token is None) and (named or len(names) > 2):
        say(f"tokens: column {token_name!r}; tags: column {tag_name!r} of {len(names)}")
    return names.index(token_name), names.index(tag_name)


def _width(line: str, tabs: bool) -> int:
    return line.count("\t") + 1 if tabs else len(line.split())


def _fields(line: str, tabs: bool) -> list[str]:
    if not line or line.isspace():
        return []
    return line.split("\t") if tabs else line.split()
