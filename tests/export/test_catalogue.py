"""Every cell of the catalogue as an ONNX file: ONNX Runtime's results are the layer's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gatework.cells import Cell
from gatework.cells.declarations import Extra
from gatework.nn import Recurrent
from tests.conformance.comparison import CELLS, EXAMPLES
from tests.export.runtime import TOLERANCE, exported, largest_difference, session


def further(cell: Cell, layer: Recurrent, *shape: int) -> dict[str, Tensor]:
    """Inputs of each step that a cell cannot do without; gaps, masks and flags are never negative."""
    entries = [(name, d) for _, name, d in cell.entries(Extra) if d.default is None]
    return {name: torch.rand(*shape, cell.measure(d.size, layer.hidden_size, layer.input_size)) for name, d in entries}


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str):
    """Both directions, ragged, from given states, batch first; at a single step and a single row too."""
    torch.manual_seed(1)
    layer = Recurrent(CELLS[name], 8, 8, bidirectional=True, batch_first=True, backend="reference").eval()
    running = session(exported(layer, lengths=True, states=True))
    for T, lengths in ((7, [7, 3, 1, 0, 5]), (4, [2, 0]), (1, [1])):
        extra = further(CELLS[name], layer, len(lengths), T)
        assert largest_difference(layer, running, T, len(lengths), lengths, True, extra) <= TOLERANCE, f"T={T}"


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_without_lengths_and_states(name: str, num_layers: int):
    torch.manual_seed(2)
    layer = Recurrent(CELLS[name], 4, 8, num_layers, bidirectional=num_layers == 2, backend="reference").eval()
    running = session(exported(layer))
    for T, B in ((1, 1), (1, 3), (6, 1), (9, 5)):
        extra = further(CELLS[name], layer, T, B)
        assert largest_difference(layer, running, T, B, extra=extra) <= TOLERANCE, f"T={T} B={B}"
