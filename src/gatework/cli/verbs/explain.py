"""Show what becomes of a cell: kernel class, graph, what is saved for backward, the generated source.

Example: gatework explain peephole-lstm          gatework explain my_cell.py:MyCell --hidden-size 256
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("cell", metavar="CELL", help="a name of `gatework cells`, or FILE.py:Class")
    parser.add_argument("--input-size", type=int, default=128, metavar="I", help="input features (default 128)")
    parser.add_argument("--hidden-size", type=int, default=128, metavar="H", help="units (default 128)")


def run(options: argparse.Namespace, rest: Sequence[str]) -> None:
    from gatework.cli.flags import refuse_unknown

    refuse_unknown("gatework explain", rest, ("--input-size", "--hidden-size"))
    import gatework
    from gatework.cli.own_cell import cell_of
    from gatework.nn import Recurrent

    layer = Recurrent(cell_of(options.cell), options.input_size, options.hidden_size)
    print(gatework.explain(layer))
