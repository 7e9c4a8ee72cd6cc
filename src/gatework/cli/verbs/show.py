"""Print what a run is: its model card, with score, baseline, data and the command that made it.

Example: gatework show runs/forecaster-001
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a run")


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    from gatework.cli.flags import refuse_unknown
    from gatework.run import Run

    refuse_unknown("gatework show", rest)
    print(Run.open(options.run).read_text("README.md").rstrip())
