"""What a training run shows: a live bar on a terminal, one plain line an epoch elsewhere; the same numbers in both.

Other long work shows a bar on a terminal, and nothing elsewhere.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

from gatework import say

Part = TypeVar("Part")

_REDRAW_SECONDS = 0.2
_PATIENCE_SECONDS = 1.0  # work that is over by then shows nothing
_terminal = threading.Lock()  # which has room for one bar at a time


class Progress:
    """Prints epochs, and on a terminal a bar with loss, score, speed and time left.

    Args:
        unit: what an example is called, for "windows/s".
        metric: name of the score.
        log: called with each plain line (the run's log file).
        terminal: None = whether standard error is one.
    """

    def __init__(
        self, unit: str, metric: str, log: Callable[[str], None] | None = None, terminal: bool | None = None
    ) -> None:
        self._unit = unit
        self._metric = metric
        self._log = log
        self._terminal = _watched() if terminal is None else terminal
        self._bar: Any = None
        self._alone = False
        self._drawn = 0.0

    def __enter__(self) -> Progress:
        if self._terminal:
            self._alone = _terminal.acquire(blocking=False)
            self._bar = _bar()
            self._bar.start()
            self._task = self._bar.add_task("training", total=1.0, figures="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        if self._alone:
            _terminal.release()

    def step(self, epoch: int, loss: float, speed: float, share: float, left: float, now: float) -> None:
        """Redraw the bar, at most five times a second; `share` of the run is done, `left` seconds remain."""
        if self._bar is None or now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        figures = f"loss {loss:.4g}  {speed:,.0f} {self._unit}/s  {duration(left)} left"
        self._bar.update(
            self._task, description=f"epoch {epoch}", completed=min(share, 1.0), figures=figures, refresh=True
        )

    def epoch(self, row: dict[str, Any], left: float) -> None:
        """One line for the epoch just ended; the best so far carries a star (bold on a terminal)."""
        score = f"  {self._metric} {row[self._metric]:.5g}" if self._metric in row else ""
        star = " *" if row.get("best") else ""
        whose = [str(row["preparation"])] if "preparation" in row else []
        whose += [f"member {row['member']}"] if "member" in row else []
        begin = "  ".join([*whose, "epoch"])
        line = (
            f"{begin} {row['epoch']:>3}  step {row['step']:>6}  loss {row['loss']:.5g}{score}{star}"
            f"  {row['per_second']:,.0f} {self._unit}/s  {duration(row['seconds'])} done, {duration(left)} left"
        )
        self.line(line, bold=bool(star))

    def line(self, text: str, bold: bool = False) -> None:
        """A plain line: to the log file, and to standard error without a carriage return."""
        if self._log is not None:
            self._log(text)
        if self._bar is not None:
            self._bar.console.print(text, style="bold" if bold else None, highlight=False, markup=False)
        else:
            say.line(text)


def shown(
    parts: Iterable[Part],
    total: int,
    size: Callable[[Part], int],
    doing: str,
    unit: str,
    terminal: bool | None = None,
) -> Iterator[Part]:
    """`parts` as they are; where they take long, a bar on a terminal says how far their user has come.

    Args:
        parts: what is worked through.
        total: size of all parts, 1 or more.
        size: of a part.
        doing: such as "reading".
        unit: of the sizes, such as "tokens".
        terminal: None = whether standard error is one and not silenced. It waits until no other bar is there.
    """
    if not (_watched() if terminal is None else terminal):
        yield from parts
        return
    begin = drawn = monotonic()
    bar: Any = None
    done = 0
    try:
        for part in parts:
            yield part
            done += size(part)
            now = monotonic()
            if now - begin < _PATIENCE_SECONDS or now - drawn < _REDRAW_SECONDS:
                continue
            if bar is None:
                if not _terminal.acquire(blocking=False):
                    continue
                bar = _bar()
                bar.start()
                task = bar.add_task(doing, total=total, figures="")
            speed, drawn = done / (now - begin), now
            figures = f"{speed:,.0f} {unit}/s  {duration((total - done) / speed)} left"
            bar.update(task, completed=done, figures=figures, refresh=True)
    finally:
        if bar is not None:
            bar.stop()
            _terminal.release()


def _watched() -> bool:
    """Whether there is a terminal that may be written on."""
    return sys.stderr.isatty() and not say.silent()


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
    return Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)


def duration(seconds: float) -> str:
    """`7 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
