"""The rate of fused multiply-adds that this machine reaches when it does nothing else."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import torch

from gatework.compiler.build import BuildError, command, compiler

ROUNDS = 4_000_000  # of a loop that takes about 3 ns: long enough that the threads run at the same time


@cache
def _loop() -> Callable[[int], float]:
    path = compiler()
    if path is None:
        raise BuildError("no C++ compiler was found (g++, clang++ or $CXX); install one, such as Debian's g++.")
    source = Path(__file__).with_name("peak.cpp")
    with tempfile.TemporaryDirectory(prefix="gatework-peak-") as folder:
        library = Path(folder) / "peak.so"
        built = [path, *command(torch.float32, "-shared", str(source), "-o", str(library))]
        done = subprocess.run(built, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(f"{path} failed on {source.name}:\n{done.stderr[:2000]}")
        function = ctypes.CDLL(str(library)).gatework_peak
    function.argtypes, function.restype = [ctypes.c_long], ctypes.c_double
    return lambda rounds: float(function(rounds))


def peak(threads: int, rounds: int = ROUNDS) -> float:
    """fp32 operations a second of `threads` loops side by side; a fused multiply-add is two.

    Raises BuildError without a C++ compiler.
    """
    loop = _loop()
    with ThreadPoolExecutor(threads) as team:  # ctypes lets go of the interpreter's lock
        return sum(team.map(loop, [rounds] * threads))
