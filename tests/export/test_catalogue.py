"""Every cell of the catalogue as an ONNX file: ONNX Runtime's results are the layer's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gatework.cells import Cell
from gatework.cells.declarations import Extra
from gatework.nn import Recurrent
from tests.conformance.comparison import CELLS
from tests.export.runtime import TOLERANCE, exported, largest_difference, session

pytest.importorskip("onnxruntime")


def further(cell: Cell, layer: Recurrent, *shape: int) -> dict[str, Tensor]:
    """Inputs of each step that a cell cannot do without; gaps, masks and flags are never negative."""
    entries = [(name, d) for _, name, d in cell.entries(Extra) if d.default is None]
    return {name: torch.rand(*shape, cell.measure(d.size, layer.hidden_size, layer.input_size)) for name, d in entries}


@pytest.mark.parametrize("name", CELLS)
def test_one_layer(name: str):
    torch.manual_seed(1)
    layer = Recurrent(CELLS[name], 4, 8, backend="reference").eval()
    running = session(exported(layer))
    for T, B in ((1, 1), (1, 3), (6, 1), (9, 5)):
        extra = further(CELLS[name], layer, T, B)
        assert largest_difference(layer, running, T, B, extra=extra) <= TOLERANCE, f"T={T} B={B}"


@pytest.mark.parametrize("name", CELLS)
def test_ragged_stack_of_both_directions_with_states(name: str):
    torch.manual_seed(2)
    options: dict[str, Any] = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    width = 2 * Recurrent(CELLS[name], 8, 8).output_size  # a cell may count a state from I, which layers must share
    layer = Recurrent(CELLS[name], width, 8, backend="reference", **options).eval()
    running = session(exported(layer, lengths=True, states=True))
    for T, lengths in ((7, [7, 3, 1, 0, 5]), (4, [2, 0]), (1, [1])):
        extra = further(CELLS[name], layer, len(lengths), T)
        assert largest_difference(layer, running, T, len(lengths), lengths, True, extra) <= TOLERANCE, f"T={T}"
