"""A file as one text: UTF-8 with or without a mark at its start, any line break, packed or not."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from gatework.data.packing import named_errors, open_packed
from gatework.data.wording import counted
from gatework.errors import InputError
from gatework.say import say

_FILE = re.compile(r"[/\\]\S*$|\.[A-Za-z]\w{0,7}(\.gz|\.xz)?$")  # the last word names a folder, or ends like a file
_BINARY = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"%PDF-", b"PK\x03\x04", b"PAR1", b"\x1f\x8b", b"\xd0\xcf\x11\xe0")
_LONGEST_PATH = 1024  # characters; a longer string is no path, and systems refuse to look for one


def read_text(path: Path) -> str:
    r"""The text of a file, its line breaks as "\n".

    NUL characters, which no text means, are left out and said.

    Raises:
        InputError: missing, forbidden, empty, damaged, not UTF-8 (line and byte are named), or not text.
    """
    with named_errors(path):
        if path.is_dir():
            raise InputError(f"{path} is a folder. Expected a file of text.")
        with open_packed(path) as file:
            data = file.read()
        if not data.strip():
            held = "white space only" if data else "no text (0 bytes)"
            raise InputError(f"{path} holds {held}. Expected text; check how it was written.")
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, *_BINARY)) or data.count(b"\0") > len(data) // 10:
            raise InputError(f"{path} is not UTF-8 text: it looks like UTF-16 or a binary file. Save it as UTF-8.")
        text = data.decode("utf-8-sig")
    if "\0" in text:
        say(f"{path.name}: {counted(text.count(chr(0)), 'NUL character')} left out")
        text = text.replace("\0", "")
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def is_file_name(text: str) -> bool:
    """Whether a text is a single word that is spelt like the name of a file or a folder: "notes.txt", "data/notes"."""
    return len(text.split()) == 1 and _FILE.search(text) is not None


def is_text(source: object) -> bool:
    """Whether a string is a text itself rather than a path: several words or lines, not ending like a file's name."""
    if not isinstance(source, str) or len(source.split()) < 2 or _FILE.search(source):
        return False
    return len(source) >= _LONGEST_PATH or not Path(source).exists()
