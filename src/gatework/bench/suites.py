"""What is measured: each suite yields pairs, a layer of ours and its peer with the same input and weights."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
import torch.compiler.config
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

import gatework.nn as ours
from gatework.bench.gate import TOLERANCE, Trial
from gatework.bench.peers import TORCHRECURRENT, PeepholeLoop, take_weights, torchrecurrent_peephole
from gatework.bench.shapes import Shape
from gatework.bench.trials import by_lengths, data, dense, pack_and_pad, packed, stepwise
from gatework.say import say

FORWARD, TRAIN = "forward", "forward+backward"


@dataclass(frozen=True)
class Pair:
    """One comparison.

    Attributes:
        cell, mode, shape, peer: what the results file calls it.
        ours, theirs: what takes turns.
        backward: run forward and backward; else forward without gradients.
        truth: what ours must agree with; `theirs` when None.
        metric: the unit of the figures.
        per: what a time in seconds is divided by to give the metric, ours and theirs.
        flops: operations of one call of ours, where its share of the machine's peak is wanted.
        prepare: called before all else at each number of threads; its seconds are a figure of their own.
        note: what a reader of the figures should know.
        tolerance: of the gate.
    """

    cell: str
    mode: str
    shape: str
    peer: str
    ours: Trial
    theirs: Trial
    backward: bool
    truth: Trial | None = None
    metric: str = "seconds"
    per: tuple[float, float] = (1.0, 1.0)
    flops: float | None = None
    prepare: Callable[[], object] | None = None
    note: str = ""
    tolerance: float = TOLERANCE


def against_torch(cell: str, shape_list: Sequence[Shape], backward: bool) -> Iterator[Pair]:
    """torch.nn's LSTM, GRU and RNN."""
    kind = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}[cell]
    for shape in shape_list:
        theirs = getattr(nn, kind)(shape.I, shape.H)
        layer = getattr(ours, kind)(shape.I, shape.H, backend="cpp")
        layer.load_state_dict(theirs.state_dict())
        batch = data(shape)
        heavy = cell == "lstm" and shape.H >= 256 and shape.B >= 32
        yield Pair(
            cell,
            TRAIN if backward else FORWARD,
            str(shape),
            f"torch.nn.{kind}",
            dense(layer, *batch),
            dense(theirs, *batch),
            backward,
            flops=shape.flops(len(layer.cell.gate_names), backward) if heavy else None,
        )


def per_flop(shape_list: Sequence[Shape]) -> Iterator[Pair]:
    """Cells that torch.nn lacks: seconds for 10^9 operations of their products, beside our own LSTM's."""
    for shape in shape_list:
        for cell in ("peephole-lstm", "cifg", "janet"):
            layer = ours.Recurrent(cell, shape.I, shape.H, backend="cpp")
            reference = ours.Recurrent(cell, shape.I, shape.H, backend="reference")
            reference.load_state_dict(layer.state_dict())
            lstm = ours.LSTM(shape.I, shape.H, backend="cpp")
            batch = data(shape)
            yield Pair(
                cell,
                TRAIN,
                str(shape),
                "gatework lstm per FLOP",
                dense(layer, *batch),
                dense(lstm, *batch),
                True,
                truth=dense(reference, *batch),
                metric="seconds per GFLOP",
                per=(shape.flops(len(layer.cell.gate_names), True) / 1e9, shape.flops(4, True) / 1e9),
            )


def peephole_peer(shape_list: Sequence[Shape]) -> Iterator[Pair]:
    """The peephole LSTM of torchrecurrent, a Python loop."""
    for shape in shape_list:
        layer = ours.Recurrent("peephole-lstm", shape.I, shape.H, backend="cpp")
        theirs = torchrecurrent_peephole(layer)
        if theirs is None:
            say("torchrecurrent is not installed, so it is not measured: pip install torchrecurrent")
            return
        batch = data(shape)
        trial = replace(dense(theirs, *batch), names=TORCHRECURRENT)
        yield Pair(layer.cell.name, TRAIN, str(shape), "torchrecurrent", dense(layer, *batch), trial, True)


@contextmanager
def _no_cache() -> Iterator[None]:
    """torch.compile finds nothing that an earlier run left."""
    before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    with tempfile.TemporaryDirectory(prefix="gatework-inductor-", ignore_cleanup_errors=True) as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        try:
            with warnings.catch_warnings(), torch.compiler.config.patch(force_disable_caches=True):  # type: ignore[attr-defined]
                warnings.filterwarnings("ignore", "dynamo_pgo force disabled")  # says what is meant here
                yield
        finally:
            if before is None:
                del os.environ["TORCHINDUCTOR_CACHE_DIR"]
            else:
                os.environ["TORCHINDUCTOR_CACHE_DIR"] = before


def peephole_compiled(shape_list: Sequence[Shape]) -> Iterator[Pair]:
    """torch.compile of the peephole LSTM's Python loop, compiled anew for each number of threads."""
    with _no_cache():
        for shape in shape_list:
            layer = ours.Recurrent("peephole-lstm", shape.I, shape.H, backend="cpp")
            loop = PeepholeLoop(shape.I, shape.H)
            take_weights(loop, layer)
            batch = data(shape)
            theirs = dense(loop, *batch, torch.compile(loop, fullgraph=True))

            def prepare(theirs: Trial = theirs) -> None:
                torch.compiler.reset()
                theirs.train()

            yield Pair(
                layer.cell.name,
                TRAIN,
                str(shape),
                "torch.compile loop",
                dense(layer, *batch),
                theirs,
                True,
                prepare=prepare,
                note=f"T = {shape.T}, since compiling unrolls the loop",
            )


def ragged(shape_list: Sequence[Shape], backward: bool) -> Iterator[Pair]:
    """Lengths uniform in 10..T (T/2..T where T < 20), one of them T.

    Two pairs a shape: both on a PackedSequence that is there already; and from a padded batch to padded outputs, where
    torch.nn has to pack and pad and ours takes `lengths`.
    """
    for shape in shape_list:
        theirs = nn.LSTM(shape.I, shape.H)
        layer = ours.LSTM(shape.I, shape.H, backend="cpp")
        layer.load_state_dict(theirs.state_dict())
        least = min(10, shape.T // 2)
        lengths = torch.randint(least, shape.T + 1, (shape.B,))
        lengths[0] = shape.T
        x, gradient = data(shape)
        name, mode = f"{shape} lengths {least}..{shape.T}", TRAIN if backward else FORWARD
        rows = pack_padded_sequence(x.detach(), lengths, enforce_sorted=False)
        batch = PackedSequence(
            rows.data.clone().requires_grad_(), rows.batch_sizes, rows.sorted_indices, rows.unsorted_indices
        )
        g = torch.randn(len(batch.data), shape.H)
        one, two = packed(layer, batch, g), packed(theirs, batch, g)
        yield Pair("lstm", f"packed {mode}", name, "torch.nn.LSTM packed", one, two, backward)
        one, two = by_lengths(layer, x, gradient, lengths), pack_and_pad(theirs, x, gradient, lengths)
        yield Pair("lstm", f"ragged {mode}", name, "torch.nn.LSTM pack+pad", one, two, backward)


def streaming(shape: Shape) -> Iterator[Pair]:
    """One step at a time through the layer, the state carried on; figures are for one step."""
    theirs = nn.LSTM(shape.I, shape.H)
    layer = ours.LSTM(shape.I, shape.H, backend="cpp")
    layer.load_state_dict(theirs.state_dict())
    batch = data(shape)
    one, two = stepwise(layer, *batch), stepwise(theirs, *batch)
    per = (float(shape.T), float(shape.T))
    yield Pair("lstm", "streaming", str(replace(shape, T=1)), "torch.nn.LSTM", one, two, False, per=per)
