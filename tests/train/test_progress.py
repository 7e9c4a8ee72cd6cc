"""The bar of long work: only on a terminal, only when it takes long, one at a time."""

from __future__ import annotations

import io
import sys

import pytest

from gatework import say
from gatework.train import progress
from gatework.train.progress import Progress, shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error is a terminal, and every part of the work takes a second.

    Not a fixture: pytest puts standard error back between setup and test.
    """
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    seconds = iter(range(1000))
    monkeypatch.setattr(progress, "monotonic", lambda: float(next(seconds)))
    return terminal


def work(count: int = 4):
    return shown(range(0, count * 10, 10), count * 10, lambda first: 10, "reading", "tokens")


def test_share_speed_and_time_left(monkeypatch: pytest.MonkeyPatch):
    terminal = on_terminal(monkeypatch)
    assert list(work()) == [0, 10, 20, 30]
    drawn = terminal.getvalue()
    assert "reading" in drawn
    assert "10 tokens/s  3 s left" in drawn  # after the first second
    assert "10 tokens/s  0 s left" in drawn


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch):
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(progress, "monotonic", lambda: 0.0)
    assert len(list(work())) == 4
    assert terminal.getvalue() == ""


def test_silence(monkeypatch: pytest.MonkeyPatch):
    terminal = on_terminal(monkeypatch)
    with say.quiet():
        assert len(list(work())) == 4
    assert terminal.getvalue() == ""


def test_nothing_without_a_terminal(monkeypatch: pytest.MonkeyPatch):
    on_terminal(monkeypatch)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert len(list(work())) == 4
    assert sys.stderr.getvalue() == ""


def test_work_within_a_training_or_other_work_shows_no_bar_of_its_own(monkeypatch: pytest.MonkeyPatch):
    terminal = on_terminal(monkeypatch)
    with Progress("windows", "loss", terminal=True):
        assert len(list(work())) == 4
    assert "reading" not in terminal.getvalue()
    inner = [list(shown([1], 1, lambda part: 1, "inside", "parts")) for _ in work()]
    assert len(inner) == 4
    assert "reading" in terminal.getvalue()


def test_work_that_ends_early_leaves_room_for_other(monkeypatch: pytest.MonkeyPatch):
    terminal = on_terminal(monkeypatch)
    stopped = work()
    next(stopped), next(stopped)
    stopped.close()
    before = len(terminal.getvalue())
    assert len(list(work())) == 4
    assert "reading" in terminal.getvalue()[before:]
