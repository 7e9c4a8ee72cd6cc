"""The generated C++ under AddressSanitizer and UndefinedBehaviorSanitizer, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gatework.compiler import build


def runtime(name: str) -> str:
    """The path of a sanitizer's library; the test is skipped where the compiler has none."""
    tool = build.compiler()
    if tool is None:
        pytest.skip("needs a C++ compiler")
    path = subprocess.run([tool, f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip(f"{tool} comes without {name}")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "cells",
    [
        ("peephole-lstm", "gru"),
        ("indy-lstm", "min-gru", "rg-lru"),
        ("further-inputs", "peephole-lstm:bfloat16", "lstm:int8"),
    ],
)
def test_kernels_are_clean(cells: tuple[str, ...], tmp_path: Path, root: Path):
    """peephole-lstm has everything a kernel can have (two states, vectors, four gates); gru has separate slots.

    Of the cells without products, indy-lstm has most, min-gru two gates, and rg-lru a scan with vectors.
    """
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=99",  # Python itself never frees everything
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "GATEWORK_CACHE": str(tmp_path / "cache"),
        "PYTHONMALLOC": "malloc",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.compiler.sanitized", *cells],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0 and "clean" in done.stdout, done.stdout[-2000:] + done.stderr[-6000:]


@pytest.mark.slow
def test_a_fault_would_be_found(tmp_path: Path):
    """The same flags and libraries do see a read past the end of a tensor."""
    program = """
import ctypes, subprocess, sys, torch
from gatework.compiler import build
from tests.compiler.sanitized import command
open("bad.cpp", "w").write('extern "C" float past(const float* x, long n) { return x[n]; }')
subprocess.run([build.compiler(), *command(torch.float32, "-shared", "bad.cpp", "-o", "bad.so")], check=True)
x = torch.zeros(16)
ctypes.CDLL("./bad.so").past(ctypes.c_void_p(x.data_ptr()), ctypes.c_long(16 + 8))
"""
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:exitcode=99",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 99 and "heap-buffer-overflow" in done.stderr, done.stderr[-2000:]
