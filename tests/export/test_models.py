"""Models with recurrent layers in them: torch writes what surrounds the layers, the layers keep their own nodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gatework.cells import Cell, per_step
from gatework.compiler.graph import Unsupported
from gatework.errors import InputError
from gatework.export import ExportError, model_to_onnx
from gatework.nn import LSTM, Recurrent
from gatework.say import quiet
from tests.export.runtime import TOLERANCE, kinds, session

pytest.importorskip("onnxscript")


class Gap(Cell):
    state = "h"
    gates = ("a",)
    e = per_step("dt", default=1.0)

    def step(self, x, s, U, e):
        return torch.tanh(x.a + U.a @ (s.h * torch.exp(-e.dt)))


class Tagger(nn.Module):
    """Embedding, a ragged bidirectional LSTM, a cell that is no standard node and starts from its state, a Linear."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.encoder = LSTM(6, 5, num_layers=2, dropout=0.5, bidirectional=True, batch_first=True, backend="reference")
        self.gapped = Recurrent(Gap, 10, 5, batch_first=True, backend="reference")
        self.head = nn.Linear(5, 3)

    def forward(self, tokens: Tensor, lengths: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        y, (h, _) = self.encoder(self.embedding(tokens), lengths=lengths)
        y, last = self.gapped(y, h[-1:], extra={"dt": dt})
        return self.head(y), last


FREE = {"tokens": {0: "batch", 1: "time"}, "lengths": {0: "batch"}, "dt": {0: "batch", 1: "time"}}


def inputs(B: int, T: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randint(0, 11, (B, T)), torch.randint(0, T + 1, (B,)), torch.rand(B, T)


def test_a_model_of_any_batch_and_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    torch.manual_seed(13)
    model = Tagger()
    export = model_to_onnx(model, inputs(4, 5), tmp_path / "tagger.onnx", free=FREE)
    assert model.training
    assert export.inputs == ("tokens", "lengths", "dt")
    assert kinds(export) == ["LSTM", "LSTM", "Scan"]
    said = capsys.readouterr().err
    assert said.startswith("tagger.onnx: encoder layer 0: LSTM, encoder layer 1: LSTM, gapped layer 0: Scan; ONNX Runt")
    assert said.count("\n") == 1, "nothing of what torch's exporter says to itself"
    running = session(export)
    for B, T in ((4, 5), (1, 1), (7, 2), (2, 30)):
        given = inputs(B, T)
        with torch.no_grad():
            expected = model.eval()(*given)
        feeds = {name: value.numpy() for name, value in zip(export.inputs, given, strict=True)}
        for truth, result in zip(expected, running.run(None, feeds), strict=True):
            assert np.abs(truth.numpy() - result).max() <= TOLERANCE


class Unbatched(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = LSTM(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)[0]
        return y


def test_a_call_that_has_no_form(tmp_path: Path):
    with (
        quiet(),
        pytest.raises(Unsupported, match=r"layer layer is called with a tensor of 2 axes; ONNX takes batches"),
    ):
        model_to_onnx(Unbatched(), (torch.zeros(5, 3),), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = LSTM(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)[0]
        return y if float(y.detach().sum()) > 0 else -y


def test_what_torch_cannot_export(tmp_path: Path):
    model = Branching()
    with quiet(), pytest.raises(ExportError, match=r"torch cannot export Branching: "):
        model_to_onnx(model, (torch.zeros(5, 2, 3),), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
    assert model(torch.zeros(5, 2, 3)).shape == (5, 2, 4), "the layers answer for themselves again"


def test_what_is_no_model():
    with pytest.raises(InputError, match=r"model is int; expected a torch.nn.Module"):
        model_to_onnx(3, ())  # type: ignore[arg-type]
