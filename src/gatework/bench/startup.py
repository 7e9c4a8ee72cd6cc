"""What the first use of a cell costs: traced and built, and found in the cache by a new process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from gatework.bench.timing import Spread
from gatework.errors import GateworkError

PROGRAM = Path(__file__).with_name("first_use.py")


class StartFailed(GateworkError):
    """The program that uses a new cell did not end well."""


def seconds_of_use(cache: str, factor: float) -> tuple[float, float]:
    """Wall and CPU seconds beyond importing torch that a new process with this kernel cache needs for a cell."""
    environment = {**os.environ, "GATEWORK_CACHE": cache}
    command = [sys.executable, "-P", str(PROGRAM), str(factor)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StartFailed(f"{PROGRAM.name} ended with code {done.returncode}: {done.stderr.strip()[-500:]}")
    wall, work = map(float, done.stdout.split()[-2:])
    return wall, work


@dataclass(frozen=True)
class Use:
    """Wall seconds of several uses, and the median of their CPU seconds (the C++ compiler's included)."""

    wall: Spread
    cpu: float


# In this order on one cache, which is empty at first: name of the use, factor of the cell.
USES = (("first use", 1.0), ("cached use", 1.0), ("first use of a further cell", 2.0))


def measure(repeats: int) -> dict[str, Use]:
    """By name: what a cell costs with an empty cache, then in a new process, then another cell in a third process."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name, _ in USES}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="gatework-first-") as cache:
            for name, factor in USES:
                seconds[name].append(seconds_of_use(cache, factor))
    return {
        name: Use(Spread.of([wall for wall, _ in uses]), Spread.of([cpu for _, cpu in uses]).median)
        for name, uses in seconds.items()
    }
