"""What the kernels should reach, and whether they do."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gatework.bench import families
from gatework.bench.run import SHARE
from gatework.bench.suites import FORWARD, TRAIN


@dataclass(frozen=True)
class Target:
    """A bound on one measure.

    Attributes:
        cell, mode, peer, metric: which rows; metric None is the ratio of a pair.
        least: of the geometric mean over the shapes.
        worst: of every shape, where there is such a bound.
        most: upper bound of the median, instead of `least`.
    """

    cell: str
    mode: str
    peer: str = ""
    metric: str | None = None
    least: float = 0.0
    worst: float = 0.0
    most: float = math.inf


TARGETS = (
    Target("lstm", FORWARD, "torch.nn.LSTM", least=1.05, worst=0.9),
    Target("lstm", TRAIN, "torch.nn.LSTM", least=1.15, worst=0.95),
    Target("gru", TRAIN, "torch.nn.GRU", least=3.0),
    Target("rnn", TRAIN, "torch.nn.RNN", least=2.0),
    # time per FLOP at most 1.10 of our LSTM's
    *(Target(cell, TRAIN, "gatework lstm per FLOP", least=1 / 1.10) for cell in ("peephole-lstm", "cifg", "janet")),
    Target("peephole-lstm", TRAIN, "torchrecurrent", least=10.0),
    Target("peephole-lstm", TRAIN, "torch.compile loop", least=1.5),
    *(Target("lstm", f"packed {mode}", "torch.nn.LSTM packed", least=5.0) for mode in (FORWARD, TRAIN)),
    *(Target("lstm", f"ragged {mode}", "torch.nn.LSTM pack+pad", least=5.0) for mode in (FORWARD, TRAIN)),
    Target("lstm", "streaming", "torch.nn.LSTM", least=1.0),
    Target("lstm", FORWARD, metric=SHARE, least=0.75),
    Target("lstm", TRAIN, metric=SHARE, least=0.65),
    Target("layer-norm-lstm", TRAIN, "gatework lstm", least=1 / 1.30),
    Target("lstm zoneout + dropout", TRAIN, "gatework lstm", least=1 / 1.15),
    Target("lstm", f"projected {TRAIN}", "torch.nn.LSTM proj_size", least=3.0),
    *(Target(cell, TRAIN, families.PER_FLOP, least=1 / 1.25) for cell in families.DEPENDENT),
    *(Target(cell, TRAIN, families.LOOP, least=5.0) for cell in families.NESTED),
    *(Target(cell, TRAIN, families.LOOP, least=30.0) for cell in families.DIAGONAL),
    *(Target(cell, TRAIN, families.LSTM, least=3.0) for cell in families.DIAGONAL),
    Target("conv-lstm", TRAIN, families.LOOP, least=1.5),
    Target("lstm bf16", FORWARD, families.LSTM, least=1.7),
    Target("lstm int8", "streaming", families.LSTM, least=2.0),
    Target("lstm", f"2 layers bidirectional {TRAIN}", "torch.nn.LSTM", least=1.25),
    Target("new cell", "first use", metric="first use [s]", most=3.0),
    Target("new cell", "cached use", metric="cached use [s]", most=0.2),
)


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured at one number of threads."""

    target: Target
    threads: str
    shapes: int
    mean: float
    worst: float
    worst_shape: str

    @property
    def met(self) -> bool:
        """Whether the mean, and the worst shape where it has a bound of its own, are within the target."""
        return self.target.least <= self.mean <= self.target.most and self.worst >= self.target.worst


def judge(rows: Iterable[Mapping[str, Any]]) -> list[Verdict]:
    """One verdict for each target and number of threads that was measured."""
    kept, verdicts = list(rows), []
    for target in TARGETS:
        mine = [row for row in kept if _fits(row, target)]
        for threads in dict.fromkeys(str(row.get("threads", "")) for row in mine):
            column = "median" if target.metric else "ratio"
            group = [(float(r[column]), str(r.get("shape", ""))) for r in mine if str(r.get("threads", "")) == threads]
            worst, shape = min(group) if target.most == math.inf else max(group)
            mean = math.exp(sum(math.log(value) for value, _ in group) / len(group))
            verdicts.append(Verdict(target, threads, len(group), mean, worst, shape))
    return verdicts


def _fits(row: Mapping[str, Any], target: Target) -> bool:
    if (row["cell"], row["mode"], row.get("peer", "")) != (target.cell, target.mode, target.peer):
        return False
    return row["metric"] == target.metric if target.metric else bool(row.get("ratio"))


def table(verdicts: Sequence[Verdict], judged: bool = True) -> str:
    """The verdicts as aligned lines, with what is met where `judged`; a ratio above 1 means that Gatework is faster."""
    lines = [("measure", "against", "threads", "shapes", "mean", "worst", "target", "")]
    for verdict in verdicts:
        target, name = verdict.target, f"{verdict.target.cell} {verdict.target.mode}"
        if target.metric:
            name = (
                f"{target.cell} {target.mode}, {SHARE}" if target.metric == SHARE else f"{target.cell} {target.metric}"
            )
        bound = f">= {target.least:.3g}" if target.most == math.inf else f"<= {target.most:.3g}"
        bound += f", worst >= {target.worst:.3g}" if target.worst else ""
        worst = f"{verdict.worst:.2f} {verdict.worst_shape}".strip() if verdict.shapes > 1 else ""
        state = "" if not judged else "met" if verdict.met else "MISSED"
        lines.append(
            (name, target.peer, verdict.threads, str(verdict.shapes), f"{verdict.mean:.2f}", worst, bound, state)
        )
    widths = [max(len(row[column]) for row in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip() for row in lines)
