"""Backtest a fitted run over rolling origins, beside its naive baseline.

Example: gatework evaluate runs/forecaster-001 data.csv --windows 5
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a fitted run")
    parser.add_argument("data", metavar="DATA", help="a table with the columns that the run was fitted on")
    parser.add_argument("--windows", type=int, default=5, metavar="N", help="how many origins (default 5)")
    parser.add_argument("--step", type=int, metavar="N", help="time steps between origins (default: the horizon)")


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    from gatework.cli.flags import refuse_unknown

    refuse_unknown("gatework evaluate", rest, ("--windows", "--step"))
    from gatework.tasks import load

    origins = {"windows": options.windows, "step": options.step}
    print(load(options.run).evaluate(options.data, **origins))
