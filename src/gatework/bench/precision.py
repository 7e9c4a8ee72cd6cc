"""What is measured of numbers with fewer bits: bfloat16 forward and int8 weights, beside our own single precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import nn

import gatework.nn as ours
from gatework.bench.shapes import Shape
from gatework.bench.suites import FORWARD, Pair
from gatework.bench.trials import data, dense, stepwise

# bfloat16 keeps 8 bits, so a result is off by 2^-9 at best, and by a few times that after T steps; an int8 weight is
# off by up to 1/254 of its row's largest.
BF16_TOLERANCE, INT8_TOLERANCE = 2e-2, 5e-2


def _double(layer: nn.Module, shape: Shape) -> nn.Module:
    """The reference in float64 with a layer's weights as they are."""
    truth = ours.LSTM(shape.I, shape.H, backend="reference", dtype=torch.float64)
    truth.load_state_dict(layer.state_dict())
    return truth


def bf16(shape_list: Sequence[Shape]) -> Iterator[Pair]:
    """Our LSTM in bfloat16, forward."""
    for shape in shape_list:
        single = ours.LSTM(shape.I, shape.H, backend="cpp")
        half = ours.LSTM(shape.I, shape.H, backend="cpp").to(torch.bfloat16)
        half.load_state_dict(single.state_dict())
        x, gradient = (t.detach().bfloat16() for t in data(shape))
        yield Pair(
            "lstm bf16",
            FORWARD,
            str(shape),
            "gatework lstm",
            dense(half, x, gradient),
            dense(single, x.float(), gradient.float()),
            False,
            truth=dense(_double(half, shape), x.double(), gradient.double()),
            tolerance=BF16_TOLERANCE,
        )


def int8(shape: Shape) -> Iterator[Pair]:
    """Our LSTM with int8 weights, one step at a time; figures are for one step."""
    single = ours.LSTM(shape.I, shape.H, backend="cpp")
    x, gradient = data(shape)
    small = ours.quantize(single)
    yield Pair(
        "lstm int8",
        "streaming",
        str(replace(shape, T=1)),
        "gatework lstm",
        stepwise(small, x, gradient),
        stepwise(single, x, gradient),
        False,
        truth=stepwise(_double(single, shape), x.double(), gradient.double()),
        per=(float(shape.T), float(shape.T)),
        tolerance=INT8_TOLERANCE,
    )
