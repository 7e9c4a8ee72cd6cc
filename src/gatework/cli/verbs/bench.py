"""Measure the kernels against their peers, print which targets they meet, append the figures to a results file.

Each kernel must first equal its peer in values and gradients; then both take turns in one process. All suites at 1 and
2 threads take about 25 minutes on a machine that does nothing else. Figures go to benchmarks/results.csv where there is
a folder benchmarks, else to bench.csv; those of --quick only where --results says. Ends with code 1 where a kernel is
wrong.

Suites: forward, train (LSTM), gru, rnn, ragged, stream (single steps), startup (first use of a cell), flop (time per
FLOP of other cells), loop (torchrecurrent), compile (torch.compile), norm (layer norm), regularised (zoneout and
dropout), projected (proj_size), dependent (time per FLOP of cells with products one after the other), nested (Mogrifier
and HyperLSTM), diagonal (no product in the loop), conv, bf16, int8, stacked (two layers, both directions).

Example: gatework bench --suites forward,train --threads 1          gatework bench --quick
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from gatework.errors import InputError

FLAGS = ("--suites", "--shapes", "--threads", "--seconds", "--results", "--quick")


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    parser.add_argument("--suites", metavar="A,B,..", help="what to measure (default: all; with --quick all but two)")
    parser.add_argument("--shapes", metavar="A,B,..", help="TxBxH or TxBxIxH, such as 100x32x256")
    parser.add_argument("--threads", metavar="N,N,..", help="numbers of threads (default 1,2)")
    parser.add_argument("--seconds", type=float, metavar="X", help="time for each comparison (default 1.2)")
    parser.add_argument("--results", metavar="FILE", help="csv to append to (default: below)")
    parser.add_argument("--quick", action="store_true", help="tiny shapes, few repeats: a check, not a measurement")


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    from gatework.cli.flags import refuse_unknown

    refuse_unknown("gatework bench", rest, FLAGS)
    from gatework.bench import record, targets
    from gatework.bench.run import QUICK_SUITES, SUITES, Options, Row, measure
    from gatework.bench.shapes import Shape
    from gatework.bench.timing import Repeats
    from gatework.say import say

    names = tuple(options.suites.split(",")) if options.suites else tuple(QUICK_SUITES if options.quick else SUITES)
    if options.seconds is not None and not options.seconds >= 0:
        raise InputError(f"--seconds is {options.seconds}; expected >= 0.")
    seconds = (0.02 if options.quick else 1.2) if options.seconds is None else options.seconds
    chosen = Options(
        names,
        _threads(options.threads),
        tuple(Shape.parse(text) for text in options.shapes.split(",")) if options.shapes else (),
        Repeats(seconds, least=2 if options.quick else 4),
        options.quick,
    )
    path = Path(options.results) if options.results else None if options.quick else _default_file()
    say(f"figures go to {path}" if path else "figures are not kept: --quick is a check, not a measurement")
    kept: list[Row] = []
    if path is not None:
        record.append([], path)  # a file that cannot take figures is refused before they are measured

    def keep(rows: Sequence[Row]) -> None:
        if path is not None:
            record.append(rows, path)
        kept.extend(rows)

    outcome = measure(chosen, keep)
    print(targets.table(targets.judge(kept), judged=not options.quick))
    for text in outcome.refused:
        print(f"WRONG, not timed: {text}")
    if outcome.disturbed:
        print(
            f"others used the machine during {outcome.disturbed} of {outcome.timed} comparisons: "
            "those figures may be far off. Measure again when it is quiet; the results' notes say which they are."
        )
    return 1 if outcome.refused else 0


def _threads(text: str | None) -> tuple[int, ...]:
    """`1,2` as numbers; by default 1 and 2, where the machine has two cores."""
    import os

    if text is None:
        return (1, 2) if (os.cpu_count() or 1) > 1 else (1,)
    if not all(part.isdecimal() for part in text.split(",")):
        raise InputError(f"--threads is {text!r}; expected whole numbers with commas, such as 1,2.")
    return tuple(int(part) for part in text.split(","))


def _default_file() -> Path:
    folder = Path("benchmarks")
    return folder / "results.csv" if folder.is_dir() else Path("bench.csv")
