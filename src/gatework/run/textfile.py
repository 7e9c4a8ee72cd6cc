"""A text, such as a page, as a file of the user's choice."""

from __future__ import annotations

from pathlib import Path

from gatework.run import durable


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all.

    Raises:
        StorageError: the disk is full or may not be written; a file that was there before is untouched.
    """
    durable.write(Path(path).resolve(), text.encode())  # a link goes on pointing to its file
