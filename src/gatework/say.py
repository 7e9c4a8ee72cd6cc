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
    for lines in _recordings.get():
        lines.append(_one_line(text))
    line(text)


def once(key: str, text: str) -> None:
    """As `say`, but printed only the first time in this process that `key` comes; each recording still gets it once."""
    for lines in _recordings.get():
        if _one_line(text) not in lines:
            lines.append(_one_line(text))
    with _lock:
        first = key not in _said
        _said.add(key)
    if first:
        line(text)


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


def silent() -> bool:
    """Whether nothing is printed now: inside `quiet()`, or where GATEWORK_QUIET is set to anything but 0."""
    return _silent.get() or os.environ.get("GATEWORK_QUIET", "0") not in ("", "0")


def line(text: str) -> None:
    """Print one plain line to standard error as `say` does, but record it nowhere: progress is not a decision."""
    if not silent():
        print(_one_line(text), file=sys.stderr, flush=True)


def _one_line(text: str) -> str:
    return " ".join(text.split())
