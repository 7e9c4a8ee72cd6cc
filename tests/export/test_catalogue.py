"""Every cell of the catalogue as an ONNX file: ONNX Runtime's results are the layer's."""

from __future__ import annotations

import pytest
import torch

from gatework.nn import Recurrent
from tests.conformance.comparison import CELLS, EXAMPLES
from tests.export.runtime import TOLERANCE, exported, further, largest_difference, session


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name: str):
    """Both directions, ragged, from given states, batch first; at a single step and a single row too."""
    torch.manual_seed(1)
    layer = Recurrent(CELLS[name], 8, 8, bidirectional=True, batch_first=True, backend="reference").eval()
    running = session(exported(layer, lengths=True, states=True))
    for T, lengths in ((7, [7, 3, 1, 0, 5]), (4, [2, 0]), (1, [1])):
        extra = further(layer, len(lengths), T)
        assert largest_difference(layer, running, T, len(lengths), lengths, True, extra) <= TOLERANCE, f"T={T}"


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_without_lengths_and_states(name: str, num_layers: int):
    torch.manual_seed(2)
    layer = Recurrent(CELLS[name], 4, 8, num_layers, bidirectional=num_layers == 2, backend="reference").eval()
    running = session(exported(layer))
    for T, B in ((1, 1), (1, 3), (6, 1), (9, 5)):
        extra = further(layer, T, B)
        assert largest_difference(layer, running, T, B, extra=extra) <= TOLERANCE, f"T={T} B={B}"
