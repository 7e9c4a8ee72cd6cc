"""Print every setting of an application with its default, unit and meaning, as YAML.

Example: gatework config forecaster > run.yaml        (edit, then: gatework fit forecaster data.csv --config run.yaml)
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("task", metavar="TASK", help="the application; `gatework tasks` lists them")
    parser.add_argument("--schema", action="store_true", help="the JSON schema instead, for editors that check YAML")


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    import json

    from gatework.cli.flags import refuse_unknown
    from gatework.tasks import task
    from gatework.tasks.config import schema, to_yaml

    refuse_unknown("gatework config", rest, ("--schema",))
    chosen = task(options.task)
    print(json.dumps(schema(chosen.Config), indent=2) if options.schema else to_yaml(chosen.Config).rstrip())
