"""Score a fitted run on data, beside its naive baselines.

Example: gatework evaluate runs/forecaster-001 data.csv --windows 5
gatework evaluate RUN --help lists what the run's application takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    from gatework.cli.parameters import add_parameters, task_of_run

    parser.add_argument("run", metavar="RUN", help="folder of a fitted run")
    parser.add_argument("data", metavar="DATA", help="data of the kind that the run was fitted on, with the truth")
    if found := task_of_run(argv):
        add_parameters(parser, found.evaluate)


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    from gatework.cli.flags import refuse_unknown
    from gatework.cli.parameters import flags, parameters
    from gatework.tasks import load

    model = load(options.run)
    refuse_unknown("gatework evaluate", rest, flags(model.evaluate))
    print(model.evaluate(options.data, **parameters(model.evaluate, options)))
