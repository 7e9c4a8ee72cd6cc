"""Reading a file of a run folder without following where a tampered one may lead."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePosixPath

from gatework.errors import ArtefactError

LIMIT = 4 * 1024**3  # bytes


def read_file(path: Path) -> bytes:
    """The bytes of the regular file `path`.

    Raises:
        ArtefactError: missing, unreadable, a link, a device or pipe, or larger than 4 GiB.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise ArtefactError(f"{path} is missing. The run folder is not complete; restore the file.") from error
        if error.errno == errno.ELOOP:
            raise ArtefactError(f"{path} is a symbolic link; a run folder holds its own files only.") from error
        raise ArtefactError(f"{path} cannot be read: {os.strerror(error.errno or 0)}.") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ArtefactError(f"{path} is not a regular file; a run folder holds regular files only.")
        if status.st_size > LIMIT:
            raise ArtefactError(f"{path} has {status.st_size} bytes; at most {LIMIT} are expected.")
        return file.read()


def path_inside(folder: Path, name: str) -> Path:
    """The path of the file `name` ("model/weights.safetensors") of the run `folder`.

    Raises:
        ArtefactError: the name is absolute, climbs with "..", or passes through a link.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise ArtefactError(
            f"{name!r} is not a name inside a run folder; expected something like 'model/weights.safetensors'."
        )
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise ArtefactError(f"{path} is a symbolic link; a run folder holds its own files only.")
    return path
