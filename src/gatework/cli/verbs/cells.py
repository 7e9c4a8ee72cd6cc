"""List the cells of the catalogue, each with its source."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Takes nothing."""


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    from gatework.cells import catalogue
    from gatework.cli.flags import refuse_unknown

    refuse_unknown("gatework cells", rest)
    known = catalogue()
    width = max(map(len, known))
    for name, cell in known.items():
        lines = [line.strip() for line in (cell.__doc__ or "").strip().splitlines()]
        print(f"{name:<{width}}  {lines[0]}")
        for line in lines[1:]:
            if line.startswith("Source:"):
                print(f"{'':<{width}}  {line}")
