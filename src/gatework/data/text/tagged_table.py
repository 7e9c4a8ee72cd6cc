"""Tagged sentences in tables: a row a sentence, a row a token, or a text with its spans."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from gatework.data.text.character_spans import SPAN_NAMES, tags_of_spans
from gatework.data.text.columns import Columns, open_columns
from gatework.data.text.conll import TAG_NAMES, TOKEN_NAMES, Kept
from gatework.data.text.tokenise import words
from gatework.data.wording import quoted
from gatework.errors import InputError
from gatework.say import say

_SENTENCE_NAMES = ("sentence", "sentence_id", "sent", "sent_id", "sentence #", "sentence_number")
_TEXT_NAMES = ("text", "sentence")
_EXAMPLE = '{"tokens": ["Ada", "ran"], "tags": ["B-PER", "O"]}'


def read_table(
    source: Any,
    token_column: str | int | None,
    tag_column: str | int | None,
    labelled: bool,
    letters: bool | None,
    argument: str,
) -> tuple[Kept, bool]:
    """Tokens and tags of each sentence, and whether letters are the tokens; see `read_tagged`.

    Raises:
        InputError: columns that are not there, cells that are no texts or lists of them.
    """
    given = [name for name in (token_column, tag_column) if isinstance(name, str)]
    known = (*TOKEN_NAMES, *TAG_NAMES, *_SENTENCE_NAMES, *SPAN_NAMES, *given)
    columns = open_columns(source, known, _EXAMPLE, argument)
    if token_column is None and tag_column is None:
        found = _of_spans(columns, labelled)
        if found is not None:
            return found, False
    token, tag = _find(columns, token_column, tag_column, labelled)
    grouping = _grouping(columns, token, tag)
    if grouping is not None:
        return _of_token_rows(columns, token, tag, grouping), False
    if letters is None:
        letters = tag is not None and _are_letters(columns.values[token], columns.values[tag])
        if letters:
            say(f"each letter of column {token!r} is a token: no cell has a space, and each has as many tags")
    if letters:
        own = None if tag is None else [list(_one(columns, row, tag).strip()) for row in range(len(columns))]
        return ([list(_one(columns, row, token).strip()) for row in range(len(columns))], own, columns.places), True
    tokens = [_cell(cell, columns, row, token) for row, cell in enumerate(columns.values[token])]
    tags = None if tag is None else [_cell(cell, columns, row, tag) for row, cell in enumerate(columns.values[tag])]
    return (tokens, tags, columns.places), False


def _find(columns: Columns, token: str | int | None, tag: str | int | None, labelled: bool) -> tuple[str, str | None]:
    """The names of the columns of tokens and tags."""
    tag_name = columns.named(tag, "tag_column") if tag is not None and labelled else None
    if token is not None:
        token_name: str | None = columns.named(token, "token_column")
    else:
        token_name = columns.known(name for name in TOKEN_NAMES if name != tag_name)
    if labelled and tag_name is None:
        tag_name = columns.known(name for name in TAG_NAMES if name != token_name)
    if token_name is None and len(columns.values) == 1 + labelled:
        token_name = next(name for name in columns.values if name != tag_name)
    if labelled and tag_name is None and len(columns.values) == 2:
        tag_name = next(name for name in columns.values if name != token_name)
    if token_name == tag_name:
        raise InputError(f"column {tag_name!r} is named as tokens and as tags. Expected two columns; name another one.")
    if token_name is None or (labelled and tag_name is None):
        role, argument = ("tokens", "token_column") if token_name is None else ("tags", "tag_column")
        raise InputError(
            f"{columns.name} has the columns {quoted(columns.values)}, none of them called {role}. Expected a column "
            f"of {role}; add it, or name it by {argument}=."
        )
    if len(columns.values) > 1:
        say(f"tokens: column {token_name!r}" + (f"; tags: column {tag_name!r}" if tag_name else ""))
    return token_name, tag_name


def _grouping(columns: Columns, token: str, tag: str | None) -> str | None:
    """The column that tells sentences apart in a table with a row a token."""
    name = columns.known(name for name in _SENTENCE_NAMES if name not in (token, tag))
    if name is None or any(isinstance(cell, list | tuple) for cell in columns.values[token]):
        return None
    return None if tag and any(" " in str(cell).strip() for cell in columns.values[tag]) else name


def _of_token_rows(columns: Columns, token: str, tag: str | None, grouping: str) -> Kept:
    """A sentence for each run of rows with the same value of `grouping`; a missing one is that of the row above."""
    say(f"a row is a token; a sentence begins where column {grouping!r} changes")
    values: list[Any] = []
    for cell in columns.values[grouping]:
        values.append(values[-1] if values and (cell is None or cell == "") else cell)
    sentences: list[list[str]] = []
    tags: list[list[str]] | None = None if tag is None else []
    places, every = [], columns.places
    for _, group in groupby(range(len(values)), key=lambda row: values[row]):
        rows = list(group)
        sentences.append([_one(columns, row, token) for row in rows])
        if tags is not None and tag is not None:
            tags.append([_one(columns, row, tag) for row in rows])
        places.append(every[rows[0]])
    return sentences, tags, places


def _of_spans(columns: Columns, labelled: bool) -> Kept | None:
    """Tokens and tags of texts with spans in characters; None where the table has no such columns."""
    text, name = columns.known(_TEXT_NAMES), columns.known(SPAN_NAMES)
    if text is None or (labelled and name is None) or columns.known(("tokens", "words")) is not None:
        return None
    if not labelled:
        if columns.known(set(TAG_NAMES).difference(SPAN_NAMES)) is not None:
            return None  # tags beside it: what is called a text is tokens between spaces
        return [words(_one(columns, row, text)) for row in range(len(columns))], None, columns.places
    cells = columns.values[str(name)]
    if not all(cell is None or isinstance(cell, list) for cell in cells) or any(
        isinstance(item, str) for cell in cells for item in cell or ()
    ):
        return None
    texts = [_one(columns, row, text) for row in range(len(columns))]
    say(f"texts: column {text!r}; spans in characters: column {name!r}; tags are BIO")
    sentences, tags = tags_of_spans(texts, [cell or [] for cell in cells], columns.places)
    return sentences, tags, columns.places


def _cell(cell: Any, columns: Columns, row: int, name: str) -> list[str]:
    """A cell with several tokens or tags: a list, or a text between spaces."""
    if isinstance(cell, str):
        return cell.split()
    if isinstance(cell, Sequence) and all(isinstance(item, str | int) for item in cell):
        return [str(item) for item in cell]
    raise InputError(
        f"{columns.at([row])} of {columns.name} holds {str(cell)[:40]!r} in column {name!r}. Expected text with spaces "
        "between its parts, or a list of texts; mend that row or name another column."
    )


def _one(columns: Columns, row: int, name: str) -> str:
    cell = columns.values[name][row]
    if cell is None or isinstance(cell, list | dict):
        raise InputError(
            f"{columns.at([row])} of {columns.name} holds {str(cell)[:40]!r} in column {name!r}. Expected a text; mend "
            "that row or name another column."
        )
    return str(cell)


def _are_letters(tokens: list[Any], tags: list[Any]) -> bool:
    """Whether tokens are letters: no cell has a space, and each has just as many tags."""
    pairs = list(zip(tokens, tags, strict=True))
    return (
        all(isinstance(cell, str) and " " not in cell.strip() for pair in pairs for cell in pair)
        and all(len(token.strip()) == len(tag.strip()) for token, tag in pairs)
        and any(len(token.strip()) > 1 for token, _ in pairs)
    )
