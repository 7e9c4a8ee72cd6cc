"""Writing the file: compared before it is written, whole or not at all, and every refusal in words."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import onnx
import pytest
import torch

from gatework.cells import Cell, noise
from gatework.compiler.graph import Unsupported
from gatework.errors import InputError, StorageError
from gatework.export import ExportError, to_onnx
from gatework.nn import LSTM, Recurrent


def test_the_file_is_written_and_the_difference_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    export = to_onnx(LSTM(3, 5, num_layers=2), tmp_path / "model.onnx", states=True, lengths=True)
    onnx.checker.check_model(str(tmp_path / "model.onnx"))
    assert export.path == tmp_path / "model.onnx"
    assert export.inputs == ("input", "lengths", "h_0", "c_0")
    assert export.outputs == ("output", "h_n", "c_n")
    assert export.difference is not None and 0 <= export.difference <= 1e-5
    assert f"model.onnx: layer 0: LSTM, layer 1: LSTM; ONNX Runtime differs" in capsys.readouterr().err  # noqa: F541


def test_equal_layers_give_equal_files(tmp_path: Path):
    layer = Recurrent("janet", 3, 5)
    for name in ("a", "b"):
        to_onnx(layer, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_layer_is_left_as_it_was():
    layer = LSTM(3, 5, num_layers=2, dropout=0.5)
    to_onnx(layer)
    assert layer.training
    to_onnx(layer.eval())
    assert not layer.training


def test_a_difference_above_the_tolerance_is_not_written(tmp_path: Path):
    target = tmp_path / "model.onnx"
    target.write_bytes(b"before")
    with pytest.raises(ExportError, match=r"model.onnx would differ from the layer by .*more than 0e\+00.*not written"):
        to_onnx(Recurrent("janet", 3, 50), target, tolerance=0.0)
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    assert target.read_bytes() == b"before"


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(StorageError, match=r"model.onnx could not be written.*The folder .*nowhere is not there"):
        to_onnx(LSTM(3, 5), tmp_path / "nowhere" / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom the file system can refuse")
def test_a_folder_that_may_not_be_written(tmp_path: Path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="may write"):
            to_onnx(LSTM(3, 5), tmp_path / "model.onnx")
        assert list(tmp_path.iterdir()) == []
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_in_the_way(tmp_path: Path):
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(StorageError, match="A folder of this name is in the way"):
        to_onnx(LSTM(3, 5), tmp_path / "model.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


class Sorted(Cell):
    state = "h"
    gates = ("a",)

    def step(self, x, s, U):
        return torch.cummax(x.a + U.a @ s.h, -1).values


class Branching(Cell):
    state = "h"
    gates = ("a",)

    def step(self, x, s, U):
        return torch.tanh(x.a) if s.h.sum() > 0 else torch.tanh(U.a @ s.h)


class Mixing(Cell):
    """Rows of the batch read each other."""

    state = "h"
    gates = ("a",)

    def step(self, x, s, U):
        return torch.tanh((U.a @ s.h) @ (U.a @ s.h).t() @ x.a)


class Centred(Cell):
    """The same in one operation that ONNX has."""

    state = "h"
    gates = ("a",)

    def step(self, x, s, U):
        return torch.tanh(x.a - x.a.mean(0, keepdim=True) + U.a @ s.h)


class Drawing(Cell):
    state = "h"
    gates = ("a",)
    n = noise("a")

    def step(self, x, s, U, n):
        return torch.tanh(x.a + U.a @ s.h) * n.a


class Dropping(Cell):
    state = "h"
    gates = ("a",)

    def step(self, x, s, U):
        return torch.tanh(x.a + U.a @ s.h) + 0.1 * torch.rand(s.h.shape[-1])


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (Sorted, r"`cummax` in `step` has no form in the ONNX export"),
        (Branching, r"`step` cannot be traced"),
        (Mixing, r"`step` lets rows of the batch depend on each other"),
        (Centred, r"`step` lets rows of the batch depend on each other"),
        (Drawing, r"cell drawing draws random numbers \(a\), which a file cannot hold"),
        (Dropping, r"`rand` draws random numbers in `step`"),
    ],
)
def test_a_step_that_cannot_be_written(cell: type[Cell], words: str, tmp_path: Path):
    with pytest.raises(Unsupported, match=words):
        to_onnx(Recurrent(cell, 3, 5, backend="reference"), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_layer():
    with pytest.raises(InputError, match=r"not Linear; for a model with such layers in it use model_to_onnx"):
        to_onnx(torch.nn.Linear(3, 5))  # type: ignore[arg-type]


class Halving(Cell):
    state = "h"
    gates = ("a",)

    def step(self, x, s, U):
        return torch.tanh(x.a + U.a @ s.h).half().float()


def test_a_type_that_is_not_written():
    with pytest.raises(InputError, match=r"a value of the model is torch.float16; ONNX files are written with float32"):
        to_onnx(Recurrent(Halving, 3, 5, backend="reference"))


def test_a_model_that_the_runtime_does_not_take(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """ONNX Runtime has no LSTM in float64; the export knows that, so the knowledge is taken away."""
    monkeypatch.setattr("gatework.export.direction.NODES_IN", (torch.float64,))
    with pytest.raises(ExportError, match=r"ONNX Runtime does not run the model: .*GRU"):
        to_onnx(Recurrent("gru", 3, 5, dtype=torch.float64, backend="reference"), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_another_device():
    with pytest.raises(InputError, match=r"the layer is on meta; .*layer.cpu\(\)"):
        to_onnx(LSTM(3, 5, device="meta"))


def test_half_precision():
    with pytest.raises(InputError, match=r"the layer is torch.bfloat16.*layer.float\(\)"):
        to_onnx(LSTM(3, 5, dtype=torch.bfloat16))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gatework.export.exporting.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs onnx and onnxruntime: pip install 'gatework\[onnx\]'"):
        to_onnx(LSTM(3, 5))
    assert "onnx" in sys.modules  # the message does not depend on what else was imported
