"""Predict with a fitted run.

Example: gatework predict runs/forecaster-001 data.csv -o out.csv
Without -o the table is written to standard output as csv. gatework predict RUN --help lists what the run's application
takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    from gatework.cli.parameters import add_parameters, task_of_run

    parser.add_argument("run", metavar="RUN", help="folder of a fitted run")
    parser.add_argument("data", metavar="DATA", help="data of the kind that the run was fitted on")
    parser.add_argument("-o", "--output", metavar="FILE", help="csv, csv.gz, tsv, jsonl or parquet, by its ending")
    if found := task_of_run(argv):
        add_parameters(parser, found.predict)


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    import sys

    import narwhals as nw

    from gatework.cli.flags import refuse_unknown
    from gatework.cli.parameters import flags, parameters
    from gatework.run import check_output, write_frame
    from gatework.tasks import load

    if options.output:
        check_output(options.output)
    model = load(options.run)
    refuse_unknown("gatework predict", rest, ("--output", *flags(model.predict)))
    frame = model.predict(options.data, **parameters(model.predict, options))
    if options.output:
        write_frame(options.output, frame)
    else:
        sys.stdout.write(nw.from_native(frame, eager_only=True).write_csv())
