"""Write a small made-up data file that an application can be fitted on.

Example: gatework synth forecaster -o sample.csv && gatework fit forecaster sample.csv --horizon 24
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("task", metavar="TASK", help="the application; `gatework tasks` lists them")
    parser.add_argument("-o", "--output", metavar="FILE", help="default TASK and the ending that goes with it")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    from gatework.cli.flags import refuse_unknown
    from gatework.run import write_frame
    from gatework.tasks import task

    refuse_unknown("gatework synth", rest, ("--output", "--seed"))
    chosen = task(options.task)
    output = options.output or f"{chosen.name}{chosen.sample}"
    write_frame(output, chosen.synthesise(seed=options.seed))
    print(output)
