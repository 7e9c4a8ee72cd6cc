"""Measure the kernels against their peers and append the figures to benchmarks/results.csv.

Runs benchmarks/run.py of a checkout of Gatework; what follows the verb goes to it.
Its own help: python benchmarks/run.py --help
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Takes nothing of its own: `run` hands the rest on."""


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    import subprocess
    import sys
    from pathlib import Path

    from gatework.errors import InputError

    # Beside the package in a checkout (src/gatework/cli/verbs), else below the current folder.
    places = [folder / "benchmarks" / "run.py" for folder in (Path(__file__).resolve().parents[4], Path.cwd())]
    script = next((place for place in places if place.is_file()), None)
    if script is None:
        raise InputError(
            "benchmarks/run.py is not here: the benchmarks are part of the repository, not of the installed package. "
            "Clone the repository and run `gatework bench` in it."
        )
    return subprocess.run([sys.executable, str(script), *rest], check=False).returncode
