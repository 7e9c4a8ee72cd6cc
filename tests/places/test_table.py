"""Every place of the table: gatework's layer does what the table says, and torch.nn's fails where the table says so."""

from __future__ import annotations

from functools import partial

import pytest
from torch import nn

import gatework.nn as gnn
from tests.places.table import PLACES, REFERENCE, Place

# torch's own forward mode and torch.jit are deprecated in themselves
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),  # about checks of shapes, in both layers
]


def entries(fails: str) -> list:
    """The table as parameters: where a layer fails, the test fails too should it work one day."""
    found = []
    for place in PLACES:
        reason = (place.theirs if place.here else "") if fails == "theirs" else "" if place.runs else "does not work"
        marks = [pytest.mark.xfail(strict=True, raises=place.error, reason=reason)] if reason else []
        found.append(pytest.param(place, marks=marks, id=place.name.replace("`", "")))
    return found


@pytest.mark.parametrize("place", entries("runs"))
def test_gatework(place: Place):
    place.check(partial(gnn.LSTM, backend="auto" if place.runs == REFERENCE else "cpp"))


@pytest.mark.parametrize("place", entries("theirs"))
def test_torch_nn(place: Place):
    place.check(nn.LSTM)
