"""The one voice of Gatework: every decision it takes for the user is said here, in one plain line, and can be kept.

    from gatework.say import say
    say("frequency: hourly, from the 1st column")

Lines go to standard error, so a command's output stays clean in a pipe. `recording()` keeps what is said inside it (a
run stores these lines as its decisions); `quiet()` silences the print but not the recording.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_recordings: ContextVar[tuple[list[str], ...]] = ContextVar("gatework_recordings", default=())
_silent: ContextVar[bool] = ContextVar("gatework_silent", default=False)
_said: set[str] = set()
_lock = threading.Lock()


def say(text: str) -> None:
    """Print one plain line to standard error, and add it to every active recording of this thread.

    Line breaks inside `text` become spaces: a decision is one line. Silent inside `quiet()` and where the environment
    sets GATEWORK_QUIET to anything but 0.
    """
    line = " ".join(text.split())
    for lines in _recordings.get():
        lines.append(line)
    _print(line)


def once(key: str, text: str) -> None:
    """As `say`, but printed only the first time in this process that `key` comes; each recording still gets it once."""
    line = " ".join(text.split())
    for lines in _recordings.get():
        if line not in lines:
            lines.append(line)
    with _lock:
        first = key not in _said
        _said.add(key)
    if first:
        _print(line)


@contextmanager
def recording() -> Iterator[list[str]]:
    """Collect what is said inside the `with` block, in this thread; yields the growing list of lines."""
    lines: list[str] = []
    token = _recordings.set((*_recordings.get(), lines))
    try:
        yield lines
    finally:
        _recordings.reset(token)


@contextmanager
def quiet() -> Iterator[None]:
    """Print nothing inside the `with` block, in this thread; recordings go on."""
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def _print(line: str) -> None:
    if _silent.get() or os.environ.get("GATEWORK_QUIET", "0") not in ("", "0"):
        return
    print(line, file=sys.stderr, flush=True)
