"""Writing a file so that it is there whole or not at all: temporary name, fsync, rename, fsync of the folder.

A process killed at any moment, a full disk or a missing permission leaves what was there before untouched. Failures of
the file system become `StorageError`, which names the file and says how to mend it.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gatework.errors import StorageError

TEMPORARY_PREFIX = ".gatework-tmp-"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def write(path: Path, data: bytes) -> None:
    """Replace (or make) the file `path` by `data`, durably and in one step.

    Raises:
        StorageError: the disk is full, the folder may not be written or is missing; `path` is as it was before.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}")
    with explaining(path):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def check_place(path: Path) -> None:
    """Raise StorageError where a file `path` could not be made: a folder of its name, none around it, or forbidden."""
    with explaining(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "", str(path))
        if not path.parent.is_dir():
            raise FileNotFoundError(errno.ENOENT, "", str(path))
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "", str(path))


def append(path: Path, data: bytes) -> None:
    """Add `data` at the end of the file `path` by one write call; a kill can tear only this last piece.

    Raises:
        StorageError: the disk is full or the file may not be written; nothing of `data` is kept.
    """
    with explaining(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            before = os.fstat(descriptor).st_size
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
            except OSError:
                os.ftruncate(descriptor, before)
                raise
        finally:
            os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make the folder `path` (its parent must be there); nothing happens when it exists.

    Raises:
        StorageError: it may not be made.
    """
    with explaining(path):
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (a rename is on the disk only after this)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed writers left in `folder`; call it only while nobody else writes there."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        with suppress(OSError):
            leftover.unlink()


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a StorageError about `path`."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(_explanation(path, error)) from error


def _explanation(path: Path, error: OSError) -> str:
    reason = os.strerror(error.errno) if error.errno else str(error)
    start = f"{path} could not be written: {reason}."
    if error.errno in _FULL:
        return (
            f"{start} {_free_space(path)} Free some space or choose another folder; what was there before is untouched."
        )
    if error.errno in _FORBIDDEN:
        return (
            f"{start} A folder that this user may write is needed; change its permissions or choose another folder. "
            "What was there before is untouched."
        )
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"{start} The folder {path.parent} is not there or is a file; make it, or choose another folder."
    if error.errno == errno.EISDIR:
        return f"{start} A folder of this name is in the way; choose another name."
    return f"{start} What was there before is untouched."


def _free_space(path: Path) -> str:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:
        return "The disk is full."
    return f"{free / 1e6:.1f} MB are free there."
