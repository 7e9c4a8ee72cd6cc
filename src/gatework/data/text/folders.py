"""Folders of text files, their sub-folders as classes where there are some."""

from __future__ import annotations

from pathlib import Path

from gatework.data.packing import ending
from gatework.data.wording import counted, listed
from gatework.errors import InputError
from gatework.say import say

_ENDINGS = (".txt", ".text", ".md", "")


def text_files(folder: Path) -> list[Path]:
    """Every text file in a folder and its sub-folders, by name; others are passed over (said).

    Raises:
        InputError: there is none.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path, folder))
    texts = [path for path in files if ending(path) in _ENDINGS]
    others = sorted({ending(path) for path in files} - set(_ENDINGS))
    if not texts:
        found = f"{counted(len(files), 'file')} ({listed(others)})" if files else "no files"
        raise InputError(f"the folder {folder} holds {found}. Expected .txt files; check the path.")
    if len(texts) < len(files):
        say(f"{folder.name}: {counted(len(files) - len(texts), 'file')} passed over ({listed(others)})")
    return texts


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """The text files of each sub-folder by its name.

    Raises:
        InputError: there are no sub-folders, or one holds no text.
    """
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not classes:
        raise InputError(
            f"the folder {folder} has no sub-folders. Expected one for each class, named after it, with a .txt file "
            "for each text."
        )
    loose = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    if loose:
        say(f"{folder.name}: {counted(len(loose), 'file')} outside the sub-folders passed over")
    return {path.name: text_files(path) for path in classes}


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
