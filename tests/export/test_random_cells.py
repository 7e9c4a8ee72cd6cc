"""The fuzzer's random cells as ONNX files: the same numbers, or a refusal that names what kept it out."""

from __future__ import annotations

import pytest
import torch

from gatework.compiler.graph import Unsupported
from gatework.errors import InputError
from gatework.nn import Recurrent
from tests.compiler.fuzz import trial
from tests.compiler.random_cells import random_cell
from tests.export.runtime import TOLERANCE, exported, further, largest_difference, session


@pytest.mark.parametrize("seed", range(14))
def test_random_cell(seed: int):
    """In float64, so that a step that rounds does so alike on both sides."""
    random = random_cell(seed)
    case = trial(seed, random)
    torch.manual_seed(seed)
    layer = Recurrent(random.make(), case.I, case.H, backend="reference", dtype=torch.float64, **case.layer).eval()
    refusal = ""
    try:
        export = exported(layer, lengths=True, states=True)
    except (Unsupported, InputError) as error:
        refusal = str(error)
    if refusal:
        assert "random numbers" in refusal or random.outside, f"{refusal}\n{random.source}"
        return
    lengths = [case.T, *(k % (case.T + 1) for k in range(case.B - 1))]
    extra = further(layer, *((case.B, case.T) if layer.batch_first else (case.T, case.B)))
    assert largest_difference(layer, session(export), case.T, case.B, lengths, True, extra) <= TOLERANCE, random.source
