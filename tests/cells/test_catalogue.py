"""The catalogue: found by scan, complete, one short file a cell.  What the cells compute is in `test_papers.py`."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch
from torch import tanh

import gatework.cells
from gatework.cells import Cell, catalogue, find
from gatework.nn import Recurrent

FOLDER = Path(gatework.cells.__file__).parent
LONG = ("hm-lstm", "hyper-lstm")  # two networks in one step


def test_every_file_of_the_folder_is_there():
    language = {"catalogue", "cell", "declarations", "forms", "generator", "regularised", "rows", "rules", "sizes"}
    files = {path.stem for path in FOLDER.glob("*.py")} - language - {"__init__"}
    assert {name.replace("-", "_") for name in catalogue()} == files
    assert list(catalogue()) == sorted(catalogue())


@pytest.mark.parametrize("name", catalogue())
def test_a_cell_is_one_short_file_with_its_source(name: str):
    cell = catalogue()[name]
    text = Path(inspect.getfile(cell)).read_text(encoding="utf-8")
    assert text.count("\n") <= (60 if name in LONG else 45)
    assert "Source:" in (cell.__doc__ or "")
    assert re.search(r"\b(19|20)\d\d\b|arXiv:\d{4}\.\d{4,5}", cell.__doc__ or ""), "a paper with its year"
    assert "backward" not in text and "autograd" not in text
    assert find(name).name == name


def test_names_in_kebab_case():
    names = {"PeepholeLSTM": "peephole-lstm", "MinGRU2": "min-gru2", "GRU": "gru", "MyCell": "my-cell"}
    for class_name, name in names.items():
        made = type(class_name, (Cell,), {"state": "h", "step": lambda self, x, s: s.h})
        assert made.name == name


def test_options_are_inherited_and_told():
    class Parent(Cell):
        state = "h"
        gates = ("a",)
        gain: float = 2.0

        def step(self, x, s, U):
            return self.gain * tanh(x.a + U.a @ s.h)

    class Child(Parent):
        shift: float = 0.5

        def step(self, x, s, U):
            return super().step(x, s, U) + self.shift

    assert Child.options == ("gain", "shift")
    child = Child(shift=1.0)
    assert (child.gain, child.shift) == (2.0, 1.0) and repr(child) == "Child(gain=2.0, shift=1.0)"
    x = torch.zeros(1, 1, 2)
    layer = Recurrent(child, 2, 3, bias=False)
    assert torch.equal(layer(x)[0], torch.ones(1, 1, 3))
