"""The catalogue: found by scan, complete, and each cell's equations written once more by hand."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, sigmoid, tanh

import gatework.cells
from gatework.cells import Cell, catalogue, find
from gatework.nn import Recurrent

FOLDER = Path(gatework.cells.__file__).parent


def test_every_file_of_the_folder_is_there():
    language = {"catalogue", "cell", "declarations", "forms", "generator", "regularised", "rows", "rules", "sizes"}
    files = {path.stem for path in FOLDER.glob("*.py")} - language - {"__init__"}
    assert {name.replace("-", "_") for name in catalogue()} == files
    assert list(catalogue()) == sorted(catalogue())


@pytest.mark.parametrize("name", catalogue())
def test_a_cell_is_one_short_file_with_its_source(name: str):
    cell = catalogue()[name]
    text = Path(inspect.getfile(cell)).read_text(encoding="utf-8")
    assert text.count("\n") <= 40
    assert "Source:" in (cell.__doc__ or "")
    assert re.search(r"\b(19|20)\d\d\b|arXiv:\d{4}\.\d{4,5}", cell.__doc__ or ""), "a paper with its year"
    assert "backward" not in text and "autograd" not in text
    assert find(name).name == name


def pieces(layer: Recurrent) -> dict[str, Tensor]:
    """The layer's matrices by kind and gate: W_i [H, I], U_i [H, H], their summed bias b_i [H]."""
    gates, found = layer.cell.gate_names, {}
    for k, gate in enumerate(gates):
        rows = slice(k * layer.hidden_size, (k + 1) * layer.hidden_size)
        found |= {f"W{gate}": layer.weight_ih_l0[rows], f"U{gate}": layer.weight_hh_l0[rows]}
        found |= {f"b{gate}": layer.bias_ih_l0[rows], f"d{gate}": layer.bias_hh_l0[rows]}
    return found


def by_hand(name: str, layer: Recurrent, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
    """One step of one sequence, as the papers write it."""
    m = pieces(layer)

    def a(gate: str) -> Tensor:
        return m[f"W{gate}"] @ x + m[f"b{gate}"] + m[f"U{gate}"] @ h + m[f"d{gate}"]

    if name == "rnn":
        return (tanh(a("a")),)
    if name == "lstm":
        c = sigmoid(a("f")) * c + sigmoid(a("i")) * tanh(a("g"))
        return sigmoid(a("o")) * tanh(c), c
    if name == "peephole-lstm":
        p_i, p_f, p_o = layer.p_l0
        c = sigmoid(a("f") + p_f * c) * c + sigmoid(a("i") + p_i * c) * tanh(a("g"))
        return sigmoid(a("o") + p_o * c) * tanh(c), c
    if name == "cifg":
        f = sigmoid(a("f"))
        c = f * c + (1 - f) * tanh(a("g"))
        return sigmoid(a("o")) * tanh(c), c
    if name == "gru":
        r, z = sigmoid(a("r")), sigmoid(a("z"))
        n = tanh(m["Wn"] @ x + m["bn"] + r * (m["Un"] @ h + m["dn"]))
        return ((1 - z) * n + z * h,)
    if name == "janet":
        return (sigmoid(a("f")) * h + (1 - sigmoid(a("f") - 1)) * tanh(a("g")),)
    raise AssertionError(f"write {name} here once more, from its paper")


@pytest.mark.parametrize("backend", ["reference", "auto"])
@pytest.mark.parametrize("name", catalogue())
def test_equations(name: str, backend: str):
    torch.manual_seed(0)
    layer = Recurrent(name, 3, 5, backend=backend, dtype=torch.float64)
    x = torch.randn(6, 3, dtype=torch.float64)
    states = (torch.zeros(5, dtype=torch.float64),) * 2
    y, finals = layer(x)
    for t in range(6):
        states = by_hand(name, layer, x[t], states[0], states[-1])
        torch.testing.assert_close(y[t], states[0])
    for expected, found in zip(states, [finals] if isinstance(finals, Tensor) else finals, strict=True):
        torch.testing.assert_close(found[0], expected)


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
