"""The C++ of fields, of our own convolution, of chains and of words under the address and behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compiler.test_sanitizers import runtime


@pytest.mark.slow
@pytest.mark.parametrize("module", ["sanitized_fields", "sanitized_chains", "sanitized_words"])
def test_kernels_without_a_layer_of_one_cell_are_clean(tmp_path: Path, root: Path, module: str):
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=99",  # Python itself never frees everything
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "GATEWORK_CACHE": str(tmp_path / "cache"),
        "PYTHONMALLOC": "malloc",
    }
    done = subprocess.run(
        [sys.executable, "-m", f"tests.compiler.{module}"],
        env=environment,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0 and "clean" in done.stdout, done.stdout[-2000:] + done.stderr[-6000:]
