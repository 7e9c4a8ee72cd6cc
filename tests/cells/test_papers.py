"""Every cell against its paper's formula, written a second time in NumPy (`papers_*.py`): all states, step by step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from gatework.cells import Cell, catalogue, find
from gatework.cells.declarations import Extra
from gatework.compiler.weights import views
from gatework.nn import Recurrent
from tests.cells import papers_gated, papers_lstm, papers_sequences, papers_time
from tests.cells.papers import FORMULAS, SEQUENCES, Given

assert papers_gated and papers_lstm and papers_time and papers_sequences  # importing them fills the tables
T, B, I, H = 6, 2, 8, 8  # noqa: E741
OPTIONS = [
    ("rnn", {"nonlinearity": "relu"}),
    ("janet", {"beta": 0.5}),
    ("layer-norm-lstm", {"placement": "sum"}),
    ("lstmp", {"proj_size": 3}),
    ("on-lstm", {"chunk": 4}),
    *(("mogrifier-lstm", {"rounds": rounds, "rank": rank}) for rounds in (0, 1, 2, 6) for rank in (0, 3)),
    ("hyper-lstm", {"hyper": 3, "embedding": 2}),
    ("recurrent-highway", {"depth": 1}),
    ("slstm", {"heads": 2}),
    ("slstm", {"heads": 4, "head_norm": True}),
    ("sru", {"v": False}),
    ("sru", {"project": False, "alpha": 1.7}),
    ("qrnn", {"window": 1}),
    ("qrnn", {"window": 4}),
    ("hm-lstm", {"layers": 1}),
    ("hm-lstm", {"layers": 3, "slope": 2.0}),
    ("lmu", {"order": 5, "theta": 30.0}),
    ("clockwork", {"groups": 2}),
    ("clockwork", {"groups": 3}),
    ("ltc", {"unfolds": 1}),
    ("lem", {"dt": 0.3}),
    ("scrn", {"context": 3}),
    ("phased-lstm", {"leak": 0.0}),
]
CASES = [*((name, {}) for name in catalogue()), *OPTIONS]


def case_name(case: tuple[str, dict[str, object]]) -> str:
    return "-".join([case[0], *(f"{key}={value}" for key, value in case[1].items())])


def extras(cell: Cell) -> dict[str, torch.Tensor]:
    """Masks of 0 and 1, whole steps of time, and gaps and scores in (0, 1)."""
    found = {}
    for _, name, declared in cell.entries(Extra):
        given = torch.rand(T, B, cell.measure(declared.size, H, I), dtype=torch.float64)
        if name == "mask":
            given = given.round()
        if name == "t":
            given = torch.arange(T, dtype=torch.float64)[:, None, None].expand(T, B, 1) + 3
        found[name] = given
    return found


def states(cell: Cell, widths: tuple[int, ...]) -> list[torch.Tensor]:
    """Random; boundaries and probabilities as they can be."""
    drawn = [torch.randn(1, B, width, dtype=torch.float64) for width in widths]
    if cell.name in ("hm-lstm", "skip-lstm"):
        small = [name[0] == "z" or name in ("rest", "due") for name in cell.states]
        drawn = [s.abs().clamp(max=1) if yes else s for s, yes in zip(drawn, small, strict=True)]
        drawn = [s.round() if name[0] == "z" else s for s, name in zip(drawn, cell.states, strict=True)]
    return drawn


def layer_of(case: tuple[str, dict[str, object]]) -> Recurrent:
    torch.manual_seed(0)
    layer = Recurrent(find(case[0], **case[1]), I, H, backend="reference", dtype=torch.float64)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if "tau" not in name:
                parameter += 0.3 * torch.randn_like(parameter)  # no start may hide a term: gains of 1, biases of 0
    return layer


def weights(layer: Recurrent) -> dict[str, np.ndarray]:
    named = {full.removesuffix("_l0"): value for full, value in layer.state_dict().items()}
    return {name: value.numpy() for name, value in views(layer.cell, named, H, I).items()}


def rows(tensor: torch.Tensor) -> Iterator[np.ndarray]:
    yield from tensor.detach().transpose(0, 1).numpy()


@pytest.mark.parametrize("case", [case for case in CASES if case[0] in FORMULAS], ids=case_name)
def test_step_by_step(case: tuple[str, dict[str, object]]):
    layer = layer_of(case)
    cell, w = layer.cell, weights(layer)
    x, e, start = torch.randn(T, B, I, dtype=torch.float64), extras(cell), states(cell, layer.state_sizes)
    y, finals = layer(x, start[0] if len(start) == 1 else tuple(start), extra=e)
    finals = (finals,) if isinstance(finals, torch.Tensor) else finals
    for b in range(B):
        s = {name: state[0, b].numpy() for name, state in zip(cell.states, start, strict=True)}
        for t in range(T):
            given = Given(w, x[t, b].numpy(), s, {name: value[t, b].numpy() for name, value in e.items()}, cell)
            s = dict(zip(cell.states, FORMULAS[case[0]](given), strict=True))
            np.testing.assert_allclose(y[t, b].detach().numpy(), s[cell.states[0]], 1e-9, 1e-12, err_msg=f"step {t}")
        for name, final in zip(cell.states, finals, strict=True):
            np.testing.assert_allclose(final[0, b].detach().numpy(), s[name], 1e-9, 1e-12, err_msg=f"final {name}")


@pytest.mark.parametrize("case", [case for case in CASES if case[0] in SEQUENCES], ids=case_name)
def test_whole_sequences_from_zero(case: tuple[str, dict[str, object]]):
    layer = layer_of(case)
    x = torch.randn(T, B, I, dtype=torch.float64)
    y, _ = layer(x)
    for xb, yb in zip(rows(x), rows(y), strict=True):
        np.testing.assert_allclose(yb, SEQUENCES[case[0]](weights(layer), xb, layer.cell), 1e-9, 1e-12)


def test_every_cell_has_its_formula():
    assert sorted(FORMULAS | SEQUENCES) == list(catalogue())
