"""Predict with a fitted run.

Example: gatework predict runs/forecaster-001 data.csv -o out.csv
Without -o the table is written to standard output as csv.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of a fitted run")
    parser.add_argument("data", metavar="DATA", help="a table with the columns that the run was fitted on")
    parser.add_argument("--future", metavar="FILE", help="future covariates of the steps to forecast")
    parser.add_argument("-o", "--output", metavar="FILE", help="csv, csv.gz, jsonl or parquet, by its ending")


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    from gatework.cli.flags import refuse_unknown

    refuse_unknown("gatework predict", rest, ("--output", "--future"))
    import sys

    import narwhals as nw

    from gatework.run import write_frame
    from gatework.tasks import load

    given = {} if options.future is None else {"future": options.future}
    frame = load(options.run).predict(options.data, **given)
    if options.output:
        write_frame(options.output, frame)
    else:
        sys.stdout.write(nw.from_native(frame, eager_only=True).write_csv())
