"""Exported programs: other sizes, other processes, lengths, noise, and what is said where a cell is not to be found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.export import Dim

from gatework.cells import Cell
from gatework.compiler.identity import identified, identify
from gatework.errors import InputError
from gatework.nn import GRU, LSTM, Recurrent
from gatework.say import recording

T, B, I, H = 4, 3, 5, 7  # noqa: E741


def program(layer: torch.nn.Module, *inputs: torch.Tensor, **named: torch.Tensor) -> torch.export.ExportedProgram:
    sizes = {
        "input": {0: Dim("time", min=1), 1: Dim("batch", min=1)},
        **{name: {0: Dim("batch", min=1)} for name in named},
    }
    return torch.export.export(layer, inputs, named, dynamic_shapes=sizes)


def test_a_program_runs_in_another_process(tmp_path: Path):
    torch.manual_seed(0)
    layer, x = LSTM(I, H, num_layers=2, bidirectional=True), torch.randn(9, 2, I)
    torch.export.save(program(layer, torch.randn(T, B, I)), tmp_path / "layer.pt2")
    torch.save([x, layer(x)[0].detach()], tmp_path / "numbers.pt")
    script = (
        "import torch, gatework.nn, sys\n"
        "module = torch.export.load(sys.argv[1]).module()\n"
        "x, expected = torch.load(sys.argv[2])\n"
        "torch.testing.assert_close(module(x)[0], expected)\n"
        "module(x.requires_grad_())[0].sum().backward()\n"
        "assert x.grad.isfinite().all()\n"
    )
    arguments = [sys.executable, "-c", script, tmp_path / "layer.pt2", tmp_path / "numbers.pt"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_lengths_are_an_input_of_a_program():
    torch.manual_seed(0)
    layer = GRU(I, H, bidirectional=True)
    module = program(layer, torch.randn(T, B, I), lengths=torch.tensor([4, 0, 2])).module()
    for lengths in ([9, 3], [2, 9], [0, 0]):
        x, given = torch.randn(9, 2, I), torch.tensor(lengths)
        for a, b in zip(module(x, lengths=given), layer(x, lengths=given), strict=True):
            torch.testing.assert_close(a, b)
    with pytest.raises(InputError, match=r"lengths\[1\] is 10"):
        module(torch.randn(9, 2, I), lengths=torch.tensor([1, 10]))


@pytest.mark.parametrize("T", [0, 1])
def test_a_program_takes_sequences_without_a_step(T: int):
    layer = LSTM(I, H)
    sizes = {0: Dim.DYNAMIC(min=0), 1: Dim.DYNAMIC(min=1)}
    module = torch.export.export(layer, (torch.randn(4, B, I),), dynamic_shapes=(sizes,)).module()
    y, (h, c) = module(torch.randn(T, B, I))
    assert y.shape == (T, B, H) and h.shape == c.shape == (1, B, H)
    assert T or (h.eq(0).all() and c.eq(0).all())


def test_compiled_lengths_and_their_gradients():
    torch.manual_seed(0)
    layer = LSTM(I, H, bidirectional=True)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for lengths in ([4, 0, 2], [1, 4, 4], [0, 0, 0]):
        x, given, found = torch.randn(T, B, I, requires_grad=True), torch.tensor(lengths), []
        first = torch.ones(2, B, H, requires_grad=True), torch.ones(2, B, H, requires_grad=True)
        for function in (layer, compiled):
            y, (h, c) = function(x, first, lengths=given)
            total, sources = y.square().sum() + h.sum() + c.square().sum(), [x, *first, *layer.parameters()]
            gradients = torch.autograd.grad(total, sources, allow_unused=True, materialize_grads=True)
            found.append([y, h, c, *gradients])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b)


class Importable(Cell):
    """A cell of this module."""

    state = "h"
    gates = ("a",)
    scale: float = 0.5

    def step(self, x, s, U):
        return torch.tanh(self.scale * x.a + U.a @ s.h)


def test_a_cell_is_found_again_by_its_name():
    for cell in (GRU(I, H).cell, Recurrent("janet", I, H).cell):
        assert type(identified(identify(cell))) is type(cell)
    name = identify(Importable(scale=0.25))
    assert "scale" in name and identified(name).scale == 0.25
    assert identify(Importable(scale=0.25)) == name != identify(Importable())


def test_a_cell_that_cannot_be_found_or_has_changed():
    with pytest.raises(InputError, match="cannot be made here: No module named 'nowhere'"):
        identified("nowhere:Cell {} 0123456789abcdef")
    with pytest.raises(InputError, match="Put the class where it can be imported"):
        identified("gatework.cells.lstm:Missing {} 0123456789abcdef")
    with pytest.raises(InputError, match="no option 'wrong'"):
        identified("gatework.cells.lstm:LSTM {'wrong': 1} 0123456789abcdef")
    with pytest.raises(InputError, match="as a cell, which is none"):
        identified("collections:Counter {} 0123456789abcdef")
    with recording() as said:
        assert identified("gatework.cells.lstm:LSTM {} 0123456789abcdef").states == ("h", "c")
    assert any("does not compute exactly what it did" in line for line in said)


def test_torch_jit_trace_is_refused_with_a_way_out():
    with pytest.raises(InputError, match=r"Use torch\.export"), pytest.warns():
        torch.jit.trace(LSTM(I, H, backend="cpp"), (torch.randn(T, B, I),))
