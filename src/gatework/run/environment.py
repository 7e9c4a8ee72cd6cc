"""What a run was made with: versions, git commit, hardware."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import gatework


def environment() -> dict[str, Any]:
    """Versions, git commit (None outside a repository) and hardware, as a JSON value."""
    return {
        "versions": {
            "gatework": gatework.__version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in ("torch", "numpy", "pandas")},
        },
        "git": _commit(),
        "hardware": {"system": platform.system(), "cpu": _cpu_name(), "cores": os.cpu_count()},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> dict[str, Any] | None:
    """The commit of the repository that the command was started in, and whether files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=5, check=True, stdin=subprocess.DEVNULL
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
