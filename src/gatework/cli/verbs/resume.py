"""Go on with a fit that was interrupted; the result is the one it would have had.

Example: gatework resume runs/forecaster-001
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("run", metavar="RUN", help="folder of an interrupted run")
    parser.add_argument("--data", metavar="DATA", help="only where the run was fitted on a frame, not on a file")


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    from gatework.cli.flags import refuse_unknown

    refuse_unknown("gatework resume", rest, ("--data",))
    from gatework.tasks import resume

    print(resume(options.run, data=options.data).run_.path)
