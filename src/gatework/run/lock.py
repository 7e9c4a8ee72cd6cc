"""One process at a time trains a run: a lock that the operating system drops when its holder ends, even by kill -9."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gatework.errors import ArtefactError
from gatework.run import durable


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` inside the block.

    A record lock (fcntl.lockf) is used, not flock: children forked by a data loader do not inherit it, so none of them
    can keep a dead trainer's run locked.

    Raises:
        ArtefactError: another process holds it; its number is named.
        StorageError: the lock file cannot be made.
    """
    with durable.explaining(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise ArtefactError(
                f"{path.parent} is being trained by process {holder}. Wait until it ends, or stop it; then try again."
            ) from error
        with durable.explaining(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
