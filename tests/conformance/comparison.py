"""One layer on two backends with the same numbers: what they return, and every gradient, compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from gatework.cells import Cell, catalogue, find
from gatework.nn import Recurrent

CELLS: dict[str, Cell] = {name: find(name) for name in catalogue()} | {
    "rnn-relu": find("rnn", nonlinearity="relu"),
    "janet-half": find("janet", beta=0.5),
}
DTYPES = (torch.float32, torch.float64)

# Norm of the difference by norm of the result. A sum of n products rounds to about sqrt(n) units of 2^-24 (or 2^-53),
# and the error grows through at most 60 steps here; 1e-5 is what the project promises in single precision.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


@dataclass
class Case:
    """Sizes and form of one call; `lengths` is None, or one number for each row, in `form` "padded" or "packed"."""

    cell: str
    T: int = 5
    B: int = 5
    I: int = 3  # noqa: E741
    H: int = 17
    dtype: torch.dtype = torch.float32
    lengths: Sequence[int] | None = None
    form: str = "padded"
    layer: dict[str, object] = field(default_factory=dict)
    initial: bool = True

    def layers(self, backend: str = "cpp") -> tuple[Recurrent, Recurrent]:
        """The reference in float64 and a layer on a backend in this case's dtype, with equal weights."""
        tested = Recurrent(CELLS[self.cell], self.I, self.H, backend=backend, dtype=self.dtype, **self.layer)
        truth = Recurrent(CELLS[self.cell], self.I, self.H, backend="reference", dtype=torch.float64, **self.layer)
        truth.load_state_dict({name: value.double() for name, value in tested.state_dict().items()})
        return truth, tested

    def inputs(self) -> tuple[Tensor, list[Tensor] | None]:
        """Random x and initial states."""
        shape = (self.B, self.T) if self.layer.get("batch_first") else (self.T, self.B)
        x = torch.randn(*shape, self.I, dtype=self.dtype)
        if not self.initial:
            return x, None
        rows = self.layer.get("num_layers", 1) * (2 if self.layer.get("bidirectional") else 1)
        return x, [torch.randn(rows, self.B, self.H, dtype=self.dtype) for _ in CELLS[self.cell].states]


def run(layer: Recurrent, case: Case, x: Tensor, states: list[Tensor] | None) -> list[Tensor]:
    """Call a layer in the case's form: outputs (packed: their data), then final states."""
    hx = None if states is None else states[0] if len(states) == 1 else tuple(states)
    if case.form == "packed":
        assert case.lengths is not None
        ordered = list(case.lengths) == sorted(case.lengths, reverse=True)
        first = bool(case.layer.get("batch_first"))
        y, finals = layer(pack_padded_sequence(x, torch.tensor(case.lengths), first, enforce_sorted=ordered), hx)
        assert isinstance(y, PackedSequence)
        y = y.data
    else:
        y, finals = layer(x, hx, lengths=case.lengths)
    return [y, *((finals,) if isinstance(finals, Tensor) else finals)]


def gradients(
    layer: Recurrent, case: Case, x: Tensor, states: list[Tensor] | None, weights: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Results of a call by name, and gradients of their weighted sum: of x, initial states and all parameters."""
    dtype = next(layer.parameters()).dtype
    x = x.detach().to(dtype).requires_grad_()
    states = None if states is None else [s.detach().to(dtype).requires_grad_() for s in states]
    results = run(layer, case, x, states)
    sources = {"x": x, **{f"initial {k}": s for k, s in enumerate(states or [])}, **dict(layer.named_parameters())}
    total = torch.stack([(r * w.to(dtype)).sum() for r, w in zip(results, weights, strict=True)]).sum()
    unused = [None] * len(sources)  # where every sequence is empty, nothing depends on anything
    found = torch.autograd.grad(total, list(sources.values()), allow_unused=True) if total.requires_grad else unused
    named = {"outputs": results[0], **{f"final {k}": r for k, r in enumerate(results[1:])}}
    for (name, source), gradient in zip(sources.items(), found, strict=True):
        named[f"gradient of {name}"] = torch.zeros_like(source) if gradient is None else gradient
    return {name: value.detach() for name, value in named.items()}


def distance(truth: Tensor, tested: Tensor) -> float:
    """Norm of the difference by norm of the truth (by 1e-3 where that is smaller: an empty or vanishing tensor)."""
    truth, tested = truth.detach().double(), tested.detach().double()
    return float((truth - tested).norm() / truth.norm().clamp_min(1e-3))


def differences(truth: dict[str, Tensor], tested: dict[str, Tensor], tolerance: float) -> Iterator[str]:
    """Every tensor that is not finite, has another shape, or is further from the truth than the tolerance."""
    for name, other in zip_longest(truth, tested):
        assert name == other
        if truth[name].shape != tested[name].shape:
            yield f"{name}: shape {tuple(tested[name].shape)}, not {tuple(truth[name].shape)}"
        elif not tested[name].isfinite().all():
            yield f"{name}: {int((~tested[name].isfinite()).sum())} of {tested[name].numel()} are not finite"
        elif (error := distance(truth[name], tested[name])) > tolerance:
            yield f"{name}: relative error {error:.1e}"


def conforms(case: Case, backend: str = "cpp") -> None:
    """Assert that a backend's results and gradients are the reference's in float64."""
    truth, tested = case.layers(backend)
    x, states = case.inputs()
    weights = [torch.randn_like(r) for r in run(truth, case, x.double(), states and [s.double() for s in states])]
    expected = gradients(truth, case, x, states, weights)
    found = gradients(tested, case, x, states, weights)
    wrong = list(differences(expected, found, TOLERANCE[case.dtype]))
    assert wrong == [], f"{case}: {'; '.join(wrong)}"
