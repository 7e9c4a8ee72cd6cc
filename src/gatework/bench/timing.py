"""Times of functions that take turns in one process."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median, 20th and 80th percentile of repeated measurements, in the unit of what was measured."""

    median: float
    p20: float
    p80: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of one value or more: nearest ranks, and the mean of the two in the middle for the median."""
        ordered, n = sorted(values), len(values)
        middle = (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
        return cls(middle, ordered[round(0.2 * (n - 1))], ordered[round(0.8 * (n - 1))], n)

    def scaled(self, factor: float) -> Spread:
        """The spread in another unit."""
        return Spread(self.median * factor, self.p20 * factor, self.p80 * factor, self.count)


@dataclass(frozen=True)
class Repeats:
    """How often to measure: until `seconds` are spent, but not less than `least` and not more than `most` rounds."""

    seconds: float = 2.5
    least: int = 5
    most: int = 100


def alternate(functions: Sequence[Callable[[], object]], repeats: Repeats) -> list[Spread]:
    """Wall seconds of each function, called in turn; every other round runs in reverse order.

    Each is called once before, untimed. The garbage collector rests meanwhile, so that it strikes nobody by chance.
    """
    for function in functions:
        function()
    seconds: list[list[float]] = [[] for _ in functions]
    order = list(enumerate(functions))
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        end = time.perf_counter() + repeats.seconds
        for done in range(repeats.most):
            if done >= repeats.least and time.perf_counter() > end:
                break
            for k, function in order:
                start = time.perf_counter()
                function()
                seconds[k].append(time.perf_counter() - start)
            order.reverse()
    finally:
        if was_enabled:
            gc.enable()
    return [Spread.of(values) for values in seconds]
