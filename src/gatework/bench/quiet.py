"""How much of the machine others use while something is timed."""

from __future__ import annotations

import os
import time
from pathlib import Path

# Of a core: more than this beside a measurement, and it is said.
DISTURBANCE = 0.1
_STATISTICS = Path("/proc/stat")


class Neighbours:
    """Counts the processor time of everything but this process, from its creation on; Linux only."""

    def __init__(self) -> None:
        self._start, self._busy, self._own = time.perf_counter(), _busy(), _own()

    def cores(self) -> float | None:
        """Cores' worth of time that others took so far, a hypervisor's theft included; None where it is unknown."""
        busy = _busy()
        if busy is None or self._busy is None:
            return None
        seconds = time.perf_counter() - self._start
        return max(0.0, (busy - self._busy - (_own() - self._own)) / seconds)


def _own() -> float:
    """CPU seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def _busy() -> float | None:
    """CPU seconds that all processors together have been busy since the machine started."""
    try:
        fields = _STATISTICS.read_text().split("\n", 1)[0].split()
    except OSError:
        return None
    user, nice, system, _idle, _waiting, interrupts, soft, stolen = map(int, fields[1:9])
    return float(user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")
