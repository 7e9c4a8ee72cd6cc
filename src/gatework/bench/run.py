"""Measures suites: the gate first, then both sides in turn; every figure becomes a row."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from gatework.bench import families, precision, shapes, startup, suites
from gatework.bench.gate import WrongResult, compare
from gatework.bench.peak import peak
from gatework.bench.quiet import DISTURBANCE, Neighbours
from gatework.bench.shapes import Shape
from gatework.bench.suites import Pair
from gatework.bench.timing import Repeats, Spread, alternate
from gatework.errors import InputError
from gatework.say import line

SHARE = "share of FMA peak"
Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What to measure.

    Attributes:
        suites: names of `SUITES`.
        threads: numbers of threads for torch and the kernels, each 1..cores.
        shapes: instead of each suite's own, where it has several.
        repeats: of each pair, shape and number of threads.
        quick: tiny shapes and few repeats: a check that everything runs, not a measurement.
    """

    suites: tuple[str, ...]
    threads: tuple[int, ...]
    shapes: tuple[Shape, ...] = ()
    repeats: Repeats = field(default_factory=Repeats)
    quick: bool = False

    def __post_init__(self) -> None:
        cores = os.cpu_count() or 1
        for count in self.threads:
            if not 1 <= count <= cores:
                raise InputError(f"threads is {count}; this machine has {cores} cores, so expected 1..{cores}.")
        for name in self.suites:
            if name not in SUITES:
                raise InputError(f"no suite is called {name!r}. There are: {', '.join(SUITES)}.")

    def pick(self, full: Sequence[Shape], quick: Sequence[Shape]) -> Sequence[Shape]:
        """The shapes for a suite that has these."""
        return self.shapes or (quick if self.quick else full)


Suite = Callable[[Options], Iterator[Pair]]
SUITES: dict[str, Suite | None] = {
    "forward": lambda o: suites.against_torch("lstm", o.pick(shapes.SHAPES, shapes.QUICK), False),
    "train": lambda o: suites.against_torch("lstm", o.pick(shapes.SHAPES, shapes.QUICK), True),
    "gru": lambda o: suites.against_torch("gru", o.pick(shapes.SHAPES, shapes.QUICK), True),
    "rnn": lambda o: suites.against_torch("rnn", o.pick(shapes.SHAPES, shapes.QUICK), True),
    "ragged": lambda o: _both(shapes.QUICK_RAGGED if o.quick else shapes.RAGGED),
    "stream": lambda o: suites.streaming(shapes.STREAM),
    "startup": None,  # measures processes, not pairs
    "flop": lambda o: suites.per_flop(o.pick(shapes.SHAPES, shapes.QUICK)),
    "loop": lambda o: suites.peephole_peer(o.pick(shapes.SHAPES, shapes.QUICK)),
    "compile": lambda o: suites.peephole_compiled(shapes.QUICK_COMPILED if o.quick else shapes.COMPILED),
    "norm": lambda o: families.normalised(o.pick(shapes.SHAPES, shapes.QUICK)),
    "regularised": lambda o: families.regularised(o.pick(shapes.SHAPES, shapes.QUICK)),
    "projected": lambda o: families.projected(o.pick(shapes.SHAPES, shapes.QUICK)),
    "dependent": lambda o: families.against_lstm(families.DEPENDENT, o.pick(shapes.SHAPES, shapes.QUICK), True),
    "nested": lambda o: families.nested(o.pick(shapes.SHAPES, shapes.QUICK)),
    "diagonal": lambda o: families.diagonal(o.pick(shapes.LONG, shapes.QUICK)),
    "conv": lambda o: families.convolutional(shapes.QUICK_IMAGE if o.quick else shapes.IMAGE),
    "bf16": lambda o: precision.bf16(o.pick(shapes.WIDE, shapes.QUICK)),
    "int8": lambda o: precision.int8(shapes.QUICK_STREAM if o.quick else shapes.WIDE_STREAM),
    "stacked": lambda o: families.stacked(o.pick(shapes.SHAPES, shapes.QUICK)),
}
QUICK_SUITES = tuple(name for name in SUITES if name not in ("compile", "startup"))


def _both(shape_list: Sequence[Shape]) -> Iterator[Pair]:
    yield from suites.ragged(shape_list, False)
    yield from suites.ragged(shape_list, True)


@dataclass
class Outcome:
    """What became of the comparisons.

    Attributes:
        refused: a line for each that the gate refused; nothing was timed there.
        timed: how many were timed.
        disturbed: how many of these while others used the machine.
    """

    refused: list[str] = field(default_factory=list)
    timed: int = 0
    disturbed: int = 0


def measure(options: Options, keep: Callable[[Sequence[Row]], None]) -> Outcome:
    """Measure every suite, give each result's rows to `keep` as soon as they are there, and say what is under way.

    torch's number of threads and random state are as before at the end.
    """
    outcome = Outcome()
    threads, randomness = torch.get_num_threads(), torch.random.get_rng_state()
    try:
        for name in options.suites:
            torch.manual_seed(0)
            suite, start = SUITES[name], time.perf_counter()
            if suite is None:
                keep(_startup(1 if options.quick else 3))
            else:
                for pair in suite(options):
                    _pair(pair, options, keep, outcome)
            line(f"{name}: {time.perf_counter() - start:.0f} s")
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(randomness)
    return outcome


def _pair(pair: Pair, options: Options, keep: Callable[[Sequence[Row]], None], outcome: Outcome) -> None:
    """Gate and time one pair with each number of threads."""
    expected = None
    for threads in options.threads:
        torch.set_num_threads(threads)
        plural = "s" if threads > 1 else ""
        what = f"{pair.cell} {pair.mode} {pair.shape}, {threads} thread{plural}, against {pair.peer}"
        common = _common(pair, threads)
        note = pair.note
        if pair.prepare is not None:
            start = time.perf_counter()
            pair.prepare()
            seconds = time.perf_counter() - start
            keep([{**common, "metric": "compile time of the peer [s]", "median": seconds, "note": note}])
            note = f"{note}; its compile time: {seconds:.1f} s"
        try:
            if expected is None:
                expected = (pair.truth or pair.theirs).results(pair.backward)
            error = compare(pair.ours.results(pair.backward), expected, pair.tolerance)
        except WrongResult as wrong:
            outcome.refused.append(f"{what}: {wrong}")
            line(f"REFUSED, not timed: {outcome.refused[-1]}")
            continue
        note = "; ".join(part for part in (note, f"largest relative difference {error:.1e}") if part)
        neighbours = Neighbours()
        rows = _time(pair, threads, options.repeats, {**common, "note": note})
        others = neighbours.cores()
        outcome.timed += 1
        said = [f"{what}: {rows[0]['ratio']:.2f}x", *(f"{row['median']:.2f} {row['metric']}" for row in rows[1:])]
        if others is not None and others > DISTURBANCE:
            outcome.disturbed += 1
            said.append(f"others used {others:.1f} cores")
            rows = [{**row, "note": f"{row['note']}; {said[-1]}"} for row in rows]
        keep(rows)
        line(", ".join(said))


def _common(pair: Pair, threads: int) -> Row:
    place = {"cell": pair.cell, "backend": "cpp", "mode": pair.mode, "shape": pair.shape, "threads": threads}
    return {"suite": "kernels", **place, "peer": pair.peer}


def _time(pair: Pair, threads: int, repeats: Repeats, common: Row) -> list[Row]:
    """The row of a pair, and that of its share of the peak where it is wanted."""
    peaks: list[float] = []
    runs: list[Callable[[], object]] = [
        side.train if pair.backward else side.forward for side in (pair.ours, pair.theirs)
    ]
    if pair.flops:
        runs.append(lambda: peaks.append(peak(threads)))
    times = alternate(runs, repeats)
    ours, theirs = (one.scaled(1 / per) for one, per in zip(times[:2], pair.per, strict=True))
    note = f"{common['note']}; {ours.count} rounds"
    row = {**common, **_spread(ours), "metric": pair.metric, "note": note}
    rows = [{**row, "peer_median": theirs.median, "ratio": theirs.median / ours.median}]
    if pair.flops:
        top = Spread.of(peaks).median
        speed = f"{pair.flops / times[0].median / 1e9:.0f} of {top / 1e9:.0f} GFLOP/s"
        share = {column: pair.flops / seconds / top for column, seconds in _slowest_first(times[0])}
        rows.append({**common, **share, "metric": SHARE, "peer": "", "note": f"{note}; {speed}"})
    return rows


def _slowest_first(seconds: Spread) -> Iterator[tuple[str, float]]:
    """The seconds that give a rate its percentiles: the rate's 20th is the time's 80th."""
    yield from (("median", seconds.median), ("p20", seconds.p80), ("p80", seconds.p20))


def _spread(spread: Spread) -> Row:
    return {"median": spread.median, "p20": spread.p20, "p80": spread.p80}


def _startup(repeats: int) -> list[Row]:
    """First and cached use of a cell."""
    rows = []
    for name, use in startup.measure(repeats).items():
        note = f"new process, beyond importing torch; {use.cpu:.2f} s of CPU; {repeats} processes"
        place = {"suite": "kernels", "cell": "new cell", "backend": "cpp", "mode": name}
        rows.append({**place, "metric": f"{name} [s]", **_spread(use.wall), "note": note})
        line(f"new cell, {name}: {use.wall.median:.2f} s ({use.cpu:.2f} s of CPU)")
    return rows
