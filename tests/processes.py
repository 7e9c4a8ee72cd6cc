"""Processes that tests start in order to end them: forked from one that has imported torch, which takes seconds."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["torch", "lightning_fabric", "pandas", "matplotlib.figure", "gatework.tasks.fitting"])


class Started:
    """`work(*given)` in a process of its own, on one thread.

    Args:
        said: the file that takes its output and its errors.
        work: a function of a module.
        given: can be pickled.
    """

    def __init__(self, said: Path, work: Callable[..., Any], *given: Any) -> None:
        said.touch()
        self._said = said
        self._process = _CONTEXT.Process(target=_run, args=(str(said), work, given))
        self._process.start()

    @property
    def number(self) -> int:
        """Of the process."""
        return self._process.pid or 0

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def said(self) -> str:
        """What it has written so far."""
        return self._said.read_text(encoding="utf-8")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.number, number)

    def ended(self) -> tuple[int, str]:
        """Wait for it: its exit code, below 0 where a signal ended it, and all that it has written."""
        self._process.join()
        return self._process.exitcode or 0, self.said()


def _run(said: str, work: Callable[..., Any], given: tuple[Any, ...]) -> None:
    import torch

    file = os.open(said, os.O_WRONLY | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    torch.set_num_threads(1)
    work(*given)
