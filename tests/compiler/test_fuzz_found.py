"""What random cells have found, cut down and kept: each was wrong, or refused without need, or a crash."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import tanh

from gatework.cells import Cell, matrix, per_step
from gatework.compiler.trace import Unsupported
from tests.compiler.fuzz import Trial, compare

pytestmark = pytest.mark.usefixtures("own_cache", "same_threads", "unoptimised", "poisoned_empty")


class Unread(Cell):
    """Nothing reads s.h, so that no gradient comes to it: what was there before was taken for one."""

    state = "h", "c"
    gates = "a", "b"
    U = matrix("m")

    def step(self, x, s, U):
        return tanh(x.a + U.m @ tanh(x.b + s.c)), tanh(x.a)


class Forgetful(Cell):
    """No state is read at all."""

    state = "h"
    gates = ("b",)
    U = matrix("m")

    def step(self, x, s, U):
        return tanh(U.m @ tanh(x.b))


class HandedToTwo(Cell):
    """One old state becomes two new ones: its gradient is the sum of both."""

    state = "h", "c", "d"
    gates = "a", "b"
    U = matrix("m")

    def step(self, x, s, U):
        return tanh(x.a + U.m @ tanh(x.b + s.h)), s.c, s.c


class Activations(Cell):
    """PyTorch's gradients of silu and mish make memory first and fill it then."""

    state = "h"
    gates = "a", "b"
    U = matrix("m")

    def step(self, x, s, U):
        return tanh(F.silu(x.a + U.m @ s.h) + F.mish(x.b))


class RunningSum(Cell):
    """The gradient of cumsum is a cumsum between two flips."""

    state = "h"
    gates = ("a",)
    U = matrix("m")

    def step(self, x, s, U):
        return tanh(torch.softmax(x.a + U.m @ s.h, -1).cumsum(-1) + (x.a * s.h).cumsum(-1))


class LiteralHeads(Cell):
    """A number of heads that stands in the step alone: the widths that it is traced with must divide."""

    state = "h"
    gates = ("a",)
    U = matrix("m")

    def step(self, x, s, U):
        a = x.a + U.m @ s.h
        return tanh(
            a.view(a.shape[0], 2, -1).softmax(-1).view(a.shape)
            + F.layer_norm(a.view(a.shape[0], 2, -1), (a.shape[-1] // 2,)).flatten(1)
        )


class Gap(Cell):
    """The gradient of an input of each step, in a kernel of products on old states alone."""

    state = "h"
    gates = ("a",)
    U = matrix("m")
    e, w = per_step("dt"), per_step("mask", size="H")

    def step(self, x, s, U, e, w):
        return tanh(x.a * torch.exp(-e.dt) + U.m @ s.h * w.mask)


class Positions(Cell):
    """The greatest unit's place is no value of a row."""

    state = "h"
    gates = ("a",)
    U = matrix("m")

    def step(self, x, s, U):
        a = x.a + U.m @ s.h
        return tanh(a + a.max(-1, keepdim=True).indices)


class Halved(Cell):
    """A refusal without an operation in it."""

    state = "h"
    gates = ("a",)
    U = matrix("m")

    def step(self, x, s, U):
        return tanh(x.a + U.m @ s.h).bfloat16().to(x.a.dtype)


@pytest.mark.parametrize(
    "cell", [Unread, Forgetful, HandedToTwo, Activations, RunningSum, LiteralHeads, Gap], ids=lambda cell: cell.name
)
def test_what_was_wrong_is_right(cell: type[Cell]):
    torch.manual_seed(0)
    assert compare(cell(), Trial()) == []


@pytest.mark.parametrize(("cell", "operation"), [(Positions, "`max`"), (Halved, "`to`")])
def test_refusals_name_the_operation(cell: type[Cell], operation: str):
    with pytest.raises(Unsupported, match=operation):
        compare(cell(), Trial())
