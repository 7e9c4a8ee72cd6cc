"""List the applications."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Takes nothing."""


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    from gatework.cli.flags import refuse_unknown
    from gatework.tasks import tasks

    refuse_unknown("gatework tasks", rest)
    known = tasks()
    width = max(map(len, known))
    for name, about in known.items():
        print(f"{name:<{width}}  {about}")
