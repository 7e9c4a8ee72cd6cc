"""The learning rate as a function of how much of the run is done, from 0 to 1, and the clock that says how much."""

from __future__ import annotations

import math
import time

from gatework.train.settings import Training

_EPOCHS = 10
_WARM_UP = 0.1
_FLOOR = 0.01
_CUT, _RATIO = 0.1, 32.0  # cut_frac and ratio of the slanted triangle


def factor(schedule: str, progress: float) -> float:
    """Share of the peak learning rate when `progress` (0 to 1) of the run is done.

    one-cycle: rises from a tenth over the first tenth of the run, then falls as a cosine to a hundredth.
    cosine: falls from the start. constant: 1. slanted: a straight line up from 1/32 over the first tenth, and
    a straight line down to 1/32 (Howard & Ruder, arXiv 1801.06146, eq. 3).
    """
    progress = min(max(progress, 0.0), 1.0)
    if schedule == "constant":
        return 1.0
    if schedule == "slanted":
        rising = progress / _CUT if progress < _CUT else 1 - (progress - _CUT) / (1 - _CUT)
        return (1 + rising * (_RATIO - 1)) / _RATIO
    if schedule == "one-cycle":
        if progress < _WARM_UP:
            return 0.1 + 0.9 * progress / _WARM_UP
        progress = (progress - _WARM_UP) / (1 - _WARM_UP)
    return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * progress))


def total_steps(settings: Training, per_epoch: int) -> int:
    """Steps of the whole run; ten epochs where neither epochs, steps nor time are limited."""
    epochs, steps = settings.max_epochs, settings.max_steps
    if epochs is None and steps is None:
        epochs = _EPOCHS if settings.time_limit is None else 100_000
    return min(bound for bound in (steps, epochs and epochs * per_epoch) if bound)


class Clock:
    """How far a run is: by steps, and by time where there is a limit; whichever is further.

    Args:
        total_steps: steps after which the run ends in any case.
        limit: seconds for the loop, validation included; None = no limit.
        spent: seconds used before this process (a resumed run).
        started: `time.monotonic()` from which to count, None = now.
        closings: how many times the slowest validation is kept back from the limit.
    """

    def __init__(
        self,
        total_steps: int,
        limit: float | None,
        spent: float = 0.0,
        started: float | None = None,
        closings: float = 1.0,
    ) -> None:
        self.total_steps = total_steps
        self._limit = limit
        self._spent = spent
        self._started = time.monotonic() if started is None else started
        self._closings = closings
        self.slowest = 0.0  # validation so far, in seconds

    def elapsed(self) -> float:
        """Seconds of training so far, over every process that worked on this run."""
        return self._spent + time.monotonic() - self._started

    def validated(self, seconds: float) -> None:
        """A validation took so long: the one that ends the run may as well."""
        self.slowest = max(self.slowest, seconds)

    def progress(self, step: int) -> float:
        """Share of the run that is done after `step` steps: 1 or more means stop."""
        done = step / self.total_steps
        if self._limit is None:
            return done
        return max(done, self.elapsed() / max(self._limit - self._closings * self.slowest, 1e-3))
