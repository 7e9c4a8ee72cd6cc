"""Labels of texts: cells of a column as tuples of names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from gatework.data.text.columns import Columns
from gatework.data.wording import counted, listed
from gatework.errors import InputError
from gatework.say import say

Label = tuple[str, ...]
_WHOLE = re.compile(r"[-+]?\d+(\.0+)?")


def labels_of(columns: Columns, name: str, separator: str | None) -> list[Label]:
    """The labels in a column: texts, whole numbers and truth values as texts, lists or separated cells as several.

    Raises:
        InputError: labels that are missing.
    """
    cells = columns.values[name]
    several = separator is not None or any(isinstance(cell, list | tuple) for cell in cells)
    if not several:
        missing = [row for row, cell in enumerate(cells) if cell is None or not str(cell).strip()]
        if missing:
            raise InputError(
                f"column {name!r} of {columns.name} has no label in {columns.at(missing)}. Expected a label in each "
                "row; fill them in or leave these rows out."
            )
    rows: list[list[Any]] = [
        [] if cell is None
        else list(cell) if isinstance(cell, list | tuple)
        else cell.split(separator) if separator and isinstance(cell, str)
        else [cell]
        for cell in cells
    ]  # fmt: skip
    words = [[str(value).strip() for value in row] for row in rows]
    distinct = {word for row in words for word in row}
    if any("." in word for word in distinct) and all(_WHOLE.fullmatch(word) for word in distinct):
        words = [[word.partition(".")[0] for word in row] for row in words]
        example = min(word for word in distinct if "." in word)
        say(f"labels: whole numbers, {example} is read as {example.partition('.')[0]}")
    return [tuple(dict.fromkeys(filter(None, row))) for row in words]


def check_classes(labels: Sequence[Label], least: int) -> None:
    """InputError where there are fewer classes than `least`; says how many there are."""
    counts = Counter(label for row in labels for label in row)
    if len(counts) < least:
        held = f"one class only, {next(iter(counts))!r}," if counts else "no label at all"
        raise InputError(
            f"there is {held} in {counted(len(labels), 'text')}. Expected {least} or more classes; add texts of "
            "another class, or name the right column by label_column=."
        )
    shown = listed([f"{name} ({count})" for name, count in counts.most_common(8)], 8)
    classes = "1 class" if len(counts) == 1 else f"{len(counts)} classes"
    say(f"{counted(len(labels), 'text')}, {classes}: {shown}{' ...' if len(counts) > 8 else ''}")
