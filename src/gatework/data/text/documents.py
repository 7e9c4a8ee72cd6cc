"""Texts with or without labels, from tables, folders and lists: what the columns mean is inferred and said."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from gatework.data.packing import ending
from gatework.data.text.columns import TABLE_ENDINGS, Columns, open_columns
from gatework.data.text.folders import class_folders, text_files
from gatework.data.text.labels import Label, check_classes, labels_of
from gatework.data.text.textfile import is_text, read_text
from gatework.data.wording import counted, listed, quoted
from gatework.errors import InputError
from gatework.say import say

TEXT_NAMES = (
    "text", "texts", "sentence", "review", "content", "document", "body", "comment", "message", "tweet", "utterance",
    "question", "query", "description", "abstract", "title",
)  # fmt: skip
LABEL_NAMES = (
    "label", "labels", "class", "classes", "category", "categories", "sentiment", "emotion", "emotions", "topic",
    "topics", "intent", "target", "stars", "rating", "score", "y",
)  # fmt: skip
_EXAMPLE = '{"text": "...", "label": "..."}'


@dataclass(frozen=True)
class Documents:
    """N texts.

    Args:
        texts: N.
        labels: the labels of each, a tuple of one where every text has just one; None where there are none.
        places: where each came from ("reviews.csv line 17").
        text_column: the column they were found in, None where there are no columns.
        label_column: the same for the labels.
    """

    texts: list[str]
    labels: list[Label] | None
    places: list[str]
    text_column: str | None = None
    label_column: str | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def subset(self, numbers: Sequence[int]) -> Documents:
        """Some of them, in the order of `numbers`."""
        labels = None if self.labels is None else [self.labels[i] for i in numbers]
        texts, places = [self.texts[i] for i in numbers], [self.places[i] for i in numbers]
        return replace(self, texts=texts, labels=labels, places=places)

    def data_hash(self) -> str:
        """SHA-256 of texts and labels: the same data give the same hash whatever frame or file they came in."""
        digest = hashlib.sha256()
        for text, labels in zip(self.texts, self.labels or [()] * len(self), strict=True):
            for part in (text, *labels):
                data = part.encode("utf-8", "surrogatepass")
                digest.update(len(data).to_bytes(8, "little") + data)
            digest.update(b"\xff")
        return digest.hexdigest()


def read_documents(
    source: Any,
    text_column: str | int | None = None,
    label_column: str | int | None = None,
    labelled: bool = True,
    separator: str | None = None,
    least_classes: int = 2,
    argument: str = "data",
) -> Documents:
    """Texts and, where `labelled`, their labels; what is not given is inferred and said.

    Args:
        source: pandas, polars or arrow frame; path of a .csv, .tsv, .jsonl (each also .gz or .xz) or .parquet table;
            folder whose sub-folders are the classes, or of .txt files (unlabelled); .txt file with a text a line
            (unlabelled, or with a label and a tab before each); list of texts (unlabelled) or of (text, label) pairs;
            unlabelled also a text of several words itself.
        text_column: name of the column, or its number from 1.
        label_column: the same.
        labelled: whether labels are read.
        separator: splits the cells of labels into several ("sad|angry"); lists in JSON lines need none.
        least_classes: how many classes there must be, 1 or more.
        argument: what `source` is called in messages.

    Raises:
        InputError: the data cannot be used; the message names the rows and how to mend it.
    """
    if not labelled and is_text(source):
        source = [source]
    if isinstance(source, Documents):
        documents = source if labelled else replace(source, labels=None)
        if labelled and source.labels is None:
            raise InputError(f"{argument} holds texts without labels. Expected a label for each text.")
    elif isinstance(source, str | Path) and Path(source).is_dir():
        documents = _of_folder(Path(source), labelled)
    elif isinstance(source, list | tuple | pd.Series) or _is_lines(source, labelled):
        documents = _of_list(source, labelled, argument, separator)
    else:
        columns = open_columns(source, _known(text_column, label_column), _EXAMPLE, argument)
        documents = _of_columns(columns, text_column, label_column, labelled, separator)
    _check_texts(documents)
    if documents.labels is not None:
        check_classes(documents.labels, least_classes)
    return documents


def _known(*given: str | int | None) -> tuple[str, ...]:
    return (*TEXT_NAMES, *LABEL_NAMES, *(name for name in given if isinstance(name, str)))


def _is_lines(source: Any, labelled: bool) -> bool:
    """Whether a file holds a text a line, without columns."""
    return isinstance(source, str | Path) and not labelled and ending(Path(source)) not in TABLE_ENDINGS


def _of_list(source: Any, labelled: bool, argument: str, separator: str | None) -> Documents:
    if isinstance(source, str | Path):
        path = Path(source)
        lines = read_text(path).split("\n")
        kept = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        return Documents([line for _, line in kept], None, [f"{path.name} line {number}" for number, _ in kept])
    items = list(source)
    if not items:
        raise InputError(f"{argument} is empty. Expected texts.")
    places = [f"{argument} item {number}" for number in range(1, len(items) + 1)]
    if all(isinstance(item, list | tuple) and len(item) == 2 for item in items):
        columns = Columns(
            argument, {"text": [i[0] for i in items], "label": [i[1] for i in items]}, range(1, len(items) + 1)
        )
        return replace(_of_columns(columns, "text", "label", labelled, separator), text_column=None, label_column=None)
    wrong = next((i for i, item in enumerate(items) if not isinstance(item, str)), None)
    if wrong is not None:
        raise InputError(
            f"{places[wrong]} is a {type(items[wrong]).__name__}, {str(items[wrong])[:40]!r}. Expected a text."
        )
    if labelled:
        raise InputError(
            f"{argument} holds texts without labels. Expected pairs, [(text, label), ...], or a table with a column of "
            "labels."
        )
    return Documents(items, None, places)


def _of_folder(folder: Path, labelled: bool) -> Documents:
    files: list[tuple[Path, Label]]
    if labelled:
        files = [(path, (name,)) for name, paths in class_folders(folder).items() for path in paths]
        say(f"labels: the {len({label for _, label in files})} sub-folders of {folder.name}")
    else:
        files = [(path, ()) for path in text_files(folder)]
    texts = [read_text(path) for path, _ in files]
    places = [str(path.relative_to(folder)) for path, _ in files]
    return Documents(texts, [label for _, label in files] if labelled else None, places)


def _of_columns(
    columns: Columns, text: str | int | None, label: str | int | None, labelled: bool, separator: str | None
) -> Documents:
    text_name = None if text is None else columns.named(text, "text_column")
    label_name = None if label is None or not labelled else columns.named(label, "label_column")
    if text_name is not None and text_name == label_name:
        raise InputError(f"column {text_name!r} is named as text and as label. Expected two columns; name another one.")
    if text_name is None:
        text_name = _find_text(columns, label_name)
    if labelled and label_name is None:
        label_name = _find_label(columns, text_name)
    labels = None if label_name is None else labels_of(columns, label_name, separator)
    texts = _texts_of(columns, text_name)
    return Documents(texts, labels, columns.places, text_name, label_name)


def _find_text(columns: Columns, label: str | None) -> str:
    found = columns.known(TEXT_NAMES)
    if found is None:
        widths = {
            name: sum(len(cell) for cell in cells if isinstance(cell, str))
            for name, cells in columns.values.items()
            if name != label and any(isinstance(cell, str) for cell in cells)
        }
        if not widths:
            raise InputError(
                f"{columns.name} has no column of texts among {quoted(columns.values)}. Expected one; add it, or name "
                "it by text_column=."
            )
        found = max(widths, key=lambda name: widths[name])
    if len(columns.values) > 1:
        say(f"texts: column {found!r}")
    return found


def _find_label(columns: Columns, text: str) -> str:
    rest = [name for name in columns.values if name != text]
    found = Columns(columns.name, {name: columns.values[name] for name in rest}, columns.numbers).known(LABEL_NAMES)
    if found is None and len(rest) == 1:
        found = rest[0]
    if found is None:
        held = f"the columns {quoted(rest)}, none of them called label or class" if rest else "no other column"
        raise InputError(
            f"{columns.name} has beside the texts, {text!r}, {held}. Expected a column of labels; add it, or name it "
            "by label_column=."
        )
    say(f"labels: column {found!r}")
    return found


def _texts_of(columns: Columns, name: str) -> list[str]:
    texts: list[str] = []
    for row, cell in enumerate(columns.values[name]):
        if cell is not None and not isinstance(cell, str):
            raise InputError(
                f"{columns.at([row])} of {columns.name} holds {type(cell).__name__} {str(cell)[:40]!r} in column "
                f"{name!r}. Expected texts; name their column by text_column=."
            )
        texts.append(cell or "")
    return texts


def _check_texts(documents: Documents) -> None:
    empty = [i for i, text in enumerate(documents.texts) if not text.strip()]
    if empty:
        where = listed([documents.places[i] for i in empty], 5)
        raise InputError(
            f"{counted(len(empty), 'text')} of {len(documents)} {'is' if len(empty) == 1 else 'are'} empty: {where}. "
            "Expected text in each; fill them in or leave them out."
        )
