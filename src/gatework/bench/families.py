"""What is measured of the further kinds of cell: normalised, regularised, projected, dependent, diagonal, stacked."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import gatework.nn as ours
from gatework.bench import scans
from gatework.bench.gate import TOLERANCE
from gatework.bench.loops import LOOPS, ConvLSTMLoop, HoistedConvLSTMLoop
from gatework.bench.shapes import Image, Shape
from gatework.bench.suites import TRAIN, Pair
from gatework.bench.trials import data, dense
from gatework.cells import Cell, find

DEPENDENT = ("mgu", "gru-reset-before", "multiplicative-lstm")
NESTED = tuple(LOOPS)
DIAGONAL = tuple(scans.LOOPS)
LSTM, PER_FLOP = "gatework lstm", "gatework lstm per FLOP"
LOOP, HOISTED = "PyTorch loop", "PyTorch loop, inputs hoisted"
# zoneout and dropout as in the papers' experiments with characters: arXiv:1606.01305 and 1603.05118
# With random weights a normalised cell magnifies what it starts from, rounding too, from step to step: after 100 steps
# of B32 H256 the reference in float32 is itself 6e-5 from the reference in float64, after 512 of B16 H128 some 1e-2.
NORMALISED_TOLERANCE = 1e-3  # after 100 steps
REGULARISED: dict[str, Any] = {"zoneout": {"h": 0.05, "c": 0.5}, "recurrent_dropout": 0.25}


def products(layer: nn.Module, shape: Shape, backward: bool) -> float:
    """Floating point operations of a layer's matrix products; every weight is used once a step."""
    weights = sum(p.numel() for name, p in layer.named_parameters() if name.startswith("weight"))
    return 2.0 * shape.T * shape.B * weights * (3 if backward else 1)


def against_lstm(
    cells: Sequence[str | Cell],
    shape_list: Sequence[Shape],
    per_flop: bool = False,
    name: str = "",
    tolerance: float = TOLERANCE,
    **options: Any,
) -> Iterator[Pair]:
    """Cells beside our own LSTM, in seconds or in seconds for 10^9 operations; the reference is the truth.

    `options` are the layer's; `name` is what the results call the cell where it is not the cell's own name.
    """
    for shape in shape_list:
        for cell in cells:
            layer = ours.Recurrent(cell, shape.I, shape.H, backend="cpp", **options)
            reference = ours.Recurrent(cell, shape.I, shape.H, backend="reference", **options)
            reference.load_state_dict(layer.state_dict())
            lstm = ours.LSTM(shape.I, shape.H, backend="cpp")
            batch = data(shape)
            counts = (products(layer, shape, True) / 1e9, products(lstm, shape, True) / 1e9)
            yield Pair(
                name or layer.cell.name,
                TRAIN,
                str(shape),
                PER_FLOP if per_flop else LSTM,
                dense(layer, *batch, seeded(layer)),
                dense(lstm, *batch),
                True,
                truth=dense(reference, *batch, seeded(reference)),
                metric="seconds per GFLOP" if per_flop else "seconds",
                per=counts if per_flop else (1.0, 1.0),
                tolerance=tolerance,
            )


def seeded(layer: nn.Module) -> Callable[[Tensor], Any]:
    """Calls a layer so that its random numbers are the same every time."""

    def run(x: Tensor) -> Any:
        torch.default_generator.manual_seed(0)  # torch.manual_seed takes 0.25 ms: it looks for devices
        return layer(x)

    return run


def projected(shape_list: Sequence[Shape]) -> Iterator[Pair]:
    """torch.nn.LSTM whose outputs are projected to a quarter of its units."""
    for shape in shape_list:
        size = max(1, shape.H // 4)
        theirs = nn.LSTM(shape.I, shape.H, proj_size=size)
        layer = ours.LSTM(shape.I, shape.H, proj_size=size, backend="cpp")
        layer.load_state_dict(theirs.state_dict())
        x, _ = data(shape)
        batch = x, torch.randn(shape.T, shape.B, size)
        with warnings.catch_warnings():  # once in a process, it says that oneDNN has no projections
            warnings.simplefilter("ignore", UserWarning)
            theirs(x)
        peer = "torch.nn.LSTM proj_size"
        yield Pair(
            "lstm", f"projected {TRAIN}", f"{shape} P{size}", peer, dense(layer, *batch), dense(theirs, *batch), True
        )


def stacked(shape_list: Sequence[Shape]) -> Iterator[Pair]:
    """Two layers of torch.nn.LSTM in both directions."""
    for shape in shape_list:
        theirs = nn.LSTM(shape.I, shape.H, 2, bidirectional=True)
        layer = ours.LSTM(shape.I, shape.H, 2, bidirectional=True, backend="cpp")
        layer.load_state_dict(theirs.state_dict())
        x, _ = data(shape)
        batch = x, torch.randn(shape.T, shape.B, 2 * shape.H)
        mode = f"2 layers bidirectional {TRAIN}"
        yield Pair("lstm", mode, str(shape), "torch.nn.LSTM", dense(layer, *batch), dense(theirs, *batch), True)


def normalised(shape_list: Sequence[Shape]) -> Iterator[Pair]:
    """The layer-normalised LSTM, beside our LSTM without."""
    for shape in shape_list:
        yield from against_lstm(("layer-norm-lstm",), [shape], tolerance=_normalised_tolerance(shape))


def _normalised_tolerance(shape: Shape) -> float:
    return NORMALISED_TOLERANCE * max(1.0, shape.T / 100) ** 2


def regularised(shape_list: Sequence[Shape]) -> Iterator[Pair]:
    """Our LSTM with random regularisers, beside our LSTM without."""
    yield from against_lstm(("lstm",), shape_list, name="lstm zoneout + dropout", **REGULARISED)


def nested(shape_list: Sequence[Shape]) -> Iterator[Pair]:
    """Cells with many products in their step, beside their Python loop."""
    for shape in shape_list:
        for cell, loop in LOOPS.items():
            yield _loop(find(cell), shape, LOOP, loop)


def diagonal(shape_list: Sequence[Shape]) -> Iterator[Pair]:
    """Cells without a product in their loop, beside both ways to write their Python loop and beside our LSTM."""
    for shape in shape_list:
        cells = tuple(_diagonal(name, shape) for name in DIAGONAL)
        for cell in cells:
            yield _loop(cell, shape, LOOP, scans.STEPS[cell.name])
            yield _loop(cell, shape, HOISTED, scans.LOOPS[cell.name])
        yield from against_lstm(cells, [shape])


def _diagonal(name: str, shape: Shape) -> Cell:
    """The cell as its paper has it: SRU's highway is the input itself, where that is as wide as the state."""
    return find(name, project=shape.I != shape.H) if name == "sru" else find(name)


def _loop(cell: Cell, shape: Shape, peer: str, loop: Callable[[ours.Recurrent], nn.Module]) -> Pair:
    layer = ours.Recurrent(cell, shape.I, shape.H, backend="cpp")
    batch = data(shape)
    tolerance = _normalised_tolerance(shape) if cell.name == "hyper-lstm" else TOLERANCE
    return Pair(
        cell.name, TRAIN, str(shape), peer, dense(layer, *batch), dense(loop(layer), *batch), True, tolerance=tolerance
    )


def convolutional(shape: Image) -> Iterator[Pair]:
    """The two-dimensional ConvLSTM beside both ways to write its loop."""
    layer = ours.ConvLSTM2d(shape.C, shape.C, 3, backend="cpp")
    x = torch.randn(shape.T, shape.B, shape.C, shape.side, shape.side, requires_grad=True)
    batch = x, torch.randn_like(x)
    for peer, loop in ((LOOP, ConvLSTMLoop(layer)), (HOISTED, HoistedConvLSTMLoop(layer))):
        yield Pair("conv-lstm", TRAIN, str(shape), peer, dense(layer, *batch), dense(loop, *batch), True)
