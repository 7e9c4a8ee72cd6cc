"""Fit an application to data and keep the run.

Example: gatework fit forecaster data.csv --horizon 24 --cell peephole-lstm --max-epochs 20
         gatework fit text-classifier reviews.csv --validation held.csv
gatework fit TASK --help lists every setting of a task; a YAML file given with --config takes the same names.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

OWN = ("--config", "--validation", "--help")


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("task", metavar="TASK", help="the application; `gatework tasks` lists them")
    parser.add_argument(
        "data", metavar="DATA", help="a table (csv, tsv, jsonl, each also .gz, or parquet), a text or a folder"
    )
    parser.add_argument("--validation", metavar="FILE", help="the held-out part, where the task takes one")
    parser.add_argument("--config", metavar="YAML", help="settings from a file; flags win over it")
    if argv and set(argv) != {"--help"}:
        from gatework.cli.flags import add_settings, task_in

        if task := task_in(argv):
            parser.usage = "gatework fit TASK DATA [--config YAML] [--validation FILE] [--SETTING VALUE ...]"
            add_settings(parser, task)


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    import sys

    from gatework.cli.flags import check_values, settings
    from gatework.say import silent
    from gatework.tasks import task
    from gatework.tasks.config import read_yaml, settle

    chosen = task(options.task)
    written = settle(chosen.Config, read_yaml(options.config), source=options.config) if options.config else {}
    typed = settings(chosen, options, rest, OWN)
    check_values(chosen, typed, written, options.config)
    model = chosen(**{**written, **typed}).fit(options.data, options.validation)
    if model.evaluation_ is not None and not silent():
        print(model.evaluation_, file=sys.stderr)
    print(model.run_.path)
