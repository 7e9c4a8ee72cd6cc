"""Files opened whether they are packed or not: .gz and .xz beside plain ones, and what is wrong with a damaged one."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from gatework.data.wording import did_you_mean
from gatework.errors import InputError

PACKED: dict[str, Literal["gzip", "xz"]] = {".gz": "gzip", ".xz": "xz"}


def ending(path: Path) -> str:
    """The ending of a file without that of its packing, in small letters: ".csv" of "Reviews.CSV.gz"; may be empty."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def packing(path: Path) -> Literal["gzip", "xz"] | None:
    """How a file is packed by its ending: "gzip", "xz" or None."""
    return PACKED.get(path.suffix.lower())


def open_packed(path: Path) -> io.BufferedIOBase:
    """The unpacked bytes of a file."""
    kind = packing(path)
    if kind == "gzip":
        return gzip.open(path, "rb")
    return lzma.open(path, "rb") if kind == "xz" else path.open("rb")


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Inside, what the system and the packing say of `path` comes as an InputError; so does a missing file.

    Raises:
        InputError: missing, forbidden, cut short, not packed, or not UTF-8.
    """
    if not path.exists():
        near = [p.name for p in path.parent.glob("*")] if path.parent.is_dir() else []
        raise InputError(f"there is no file {path}.{did_you_mean(path.name, near)} Expected the path of a data file.")
    try:
        yield
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder. Expected the path of a data file.") from error
    except PermissionError as error:
        raise InputError(
            f"{path} may not be read by this user. Expected a readable file; change its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(_encoding_message(path)) from error
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise InputError(
            f"{path} is not a whole {packing(path)} file ({error}). It was cut short or is not packed; get it again."
        ) from error


def _encoding_message(path: Path) -> str:
    before = 0  # bytes of the lines above
    with open_packed(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                around = line[max(error.start - 12, 0) : error.start + 12].decode("latin-1").strip()
                return (
                    f"{path} is not UTF-8: line {number} holds the byte 0x{line[error.start]:02x} (byte "
                    f"{before + error.start + 1} of the file), around {around!r} (read as Latin-1). Save the file as "
                    "UTF-8, or convert it: iconv -f latin1 -t utf-8."
                )
            before += len(line)
    return f"{path} is not UTF-8 text. Save the file as UTF-8."
