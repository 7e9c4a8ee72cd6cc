"""One layer on two backends with the same numbers: what they return, and every gradient, compared."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from gatework.cells import Cell, catalogue, find
from gatework.cells.declarations import Extra
from gatework.nn import Recurrent

OPTIONS: dict[str, tuple[str, dict[str, object]]] = {
    "rnn-relu": ("rnn", {"nonlinearity": "relu"}),
    "janet-half": ("janet", {"beta": 0.5}),
    "layer-norm-lstm-sum": ("layer-norm-lstm", {"placement": "sum"}),
    "lstmp-3": ("lstmp", {"proj_size": 3}),
    "on-lstm-chunks": ("on-lstm", {"chunk": 4}),
    "mogrifier-lstm-low-rank": ("mogrifier-lstm", {"rounds": 2, "rank": 3}),
    "recurrent-highway-1": ("recurrent-highway", {"depth": 1}),
    "slstm-heads": ("slstm", {"heads": 4, "head_norm": True}),
    "sru-linear": ("sru", {"v": False}),
    "sru-raw": ("sru", {"project": False}),
    "qrnn-3": ("qrnn", {"window": 3}),
}
CELLS: dict[str, Cell] = {name: find(name) for name in catalogue()}
CELLS |= {name: find(cell, **options) for name, (cell, options) in OPTIONS.items()}
# Variants with a kernel of another class than their cell's; of the others the nightly job compiles one too.
DIFFERENT = ("lstmp-3", "on-lstm-chunks", "slstm-heads", "sru-linear")
# One or two of each kernel class: these go through every table, all others through `test_every_cell.py`.
EXAMPLES = (
    "rnn",
    "lstm",
    "gru",
    "peephole-lstm",
    "gru-reset-before",
    "layer-norm-lstm",
    "t-lstm",
    "indy-lstm",
    "min-gru",
)
# A kernel costs seconds to compile for each dtype: all of them in both only once a night.
NIGHTLY = bool(os.environ.get("GATEWORK_NIGHTLY"))
IN_FLOAT64 = EXAMPLES if NIGHTLY else ("lstm", "gru-reset-before", "min-gru")
DTYPES = (torch.float32, torch.float64)
TYPED = [(cell, dtype) for dtype in DTYPES for cell in (EXAMPLES if dtype == torch.float32 else IN_FLOAT64)]
UNITS = {"quaternion-lstm": 4, "on-lstm-chunks": 4, "slstm-heads": 4}  # widths are rounded up to a multiple of these

# Norm of the difference by norm of the result. A sum of n products rounds to about sqrt(n) units of 2^-24 (or 2^-53),
# and the error grows through at most 60 steps here; 1e-5 is what the project promises in single precision.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
# A step may itself enlarge rounding: the time gate divides a phase of 2^-24 x 8 cycles by a ratio of 0.05.
CONDITION = {"phased-lstm": 10}


def as_state(states: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """A list of states as a layer takes it."""
    return states[0] if len(states) == 1 else tuple(states)


def as_list(state: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    """A layer's state as a list."""
    return [state] if isinstance(state, Tensor) else list(state)


def reads_input(cell: Cell) -> bool:
    """Whether a declaration counts from I, which must then not be 0."""
    sizes = [str(getattr(d, part, "")) for d in cell.declared.values() for part in ("rows", "columns", "size")]
    return any("I" in size for size in sizes)


def needs_square(cell: Cell) -> bool:
    """Whether the input must be H wide: a state or further input of width I, or a highway around the cell."""
    widths = [*cell.sizes.values(), *(d.size for _, _, d in cell.entries(Extra))]
    return any("I" in str(width) for width in widths) or not getattr(cell, "project", True)


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

    def __post_init__(self) -> None:
        cell, unit = CELLS[self.cell], UNITS.get(self.cell, 1)
        self.H, self.I = -(-self.H // unit) * unit, -(-self.I // unit) * unit
        if self.I == 0 and reads_input(cell):
            self.I = unit
        if needs_square(cell):
            self.I, self.layer = self.H, {**self.layer, "num_layers": 1}

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
        cell = CELLS[self.cell]
        widths = [cell.measure(cell.expression("s", name), self.H, self.I) for name in cell.states]
        return x, [torch.randn(rows, self.B, width, dtype=self.dtype) for width in widths]

    def extra(self) -> dict[str, Tensor]:
        """Random further inputs of each step in the layout of x; masks are 0 and 1, times whole."""
        shape, found = (self.B, self.T) if self.layer.get("batch_first") else (self.T, self.B), {}
        for _, name, declared in CELLS[self.cell].entries(Extra):
            value = torch.rand(*shape, CELLS[self.cell].measure(declared.size, self.H, self.I), dtype=self.dtype)
            found[name] = value.round() if name == "mask" else (8 * value).round() if name == "t" else value
        return found


def run(layer: Recurrent, case: Case, x: Tensor, states: list[Tensor] | None, extra: dict[str, Tensor]) -> list[Tensor]:
    """Call a layer in the case's form: outputs (packed: their data), then final states."""
    hx = None if states is None else as_state(states)
    if case.form == "packed":
        assert case.lengths is not None
        ordered = list(case.lengths) == sorted(case.lengths, reverse=True)
        first = bool(case.layer.get("batch_first"))
        lengths = torch.tensor(case.lengths)
        x, *values = (pack_padded_sequence(v, lengths, first, enforce_sorted=ordered) for v in (x, *extra.values()))
        y, finals = layer(x, hx, extra=dict(zip(extra, values, strict=True)))
        assert isinstance(y, PackedSequence)
        y = y.data
    else:
        y, finals = layer(x, hx, lengths=case.lengths, extra=extra)
    return [y, *as_list(finals)]


def gradients(
    layer: Recurrent,
    case: Case,
    x: Tensor,
    states: list[Tensor] | None,
    extra: dict[str, Tensor],
    weights: Sequence[Tensor],
) -> dict[str, Tensor]:
    """Results of a call by name, and gradients of their weighted sum: of everything that goes in."""
    dtype = next(layer.parameters()).dtype
    x = x.detach().to(dtype).requires_grad_()
    states = None if states is None else [s.detach().to(dtype).requires_grad_() for s in states]
    extra = {name: value.detach().to(dtype).requires_grad_() for name, value in extra.items()}
    results = run(layer, case, x, states, extra)
    sources = {"x": x, **{f"initial {k}": s for k, s in enumerate(states or [])}, **dict(layer.named_parameters())}
    sources |= {f"extra {name}": value for name, value in extra.items()}
    total = torch.stack([(r * w.to(dtype)).sum() for r, w in zip(results, weights, strict=True)]).sum()
    unused = [None] * len(sources)  # where every sequence is empty, nothing depends on anything
    found = torch.autograd.grad(total, list(sources.values()), allow_unused=True) if total.requires_grad else unused
    named = {"outputs": results[0], **{f"final {k}": r for k, r in enumerate(results[1:])}}
    for (name, source), gradient in zip(sources.items(), found, strict=True):
        named[f"gradient of {name}"] = torch.zeros_like(source) if gradient is None else gradient
    return {name: value.detach() for name, value in named.items()}


def distance(truth: Tensor, tested: Tensor) -> float:
    """Norm of the difference by norm of the truth (by 0.01 where that is smaller: a sum whose terms cancel)."""
    truth, tested = truth.detach().double(), tested.detach().double()
    return float((truth - tested).norm() / truth.norm().clamp_min(1e-2))


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
    (x, states), extra = case.inputs(), case.extra()
    with torch.no_grad():
        shapes = run(tested, case, x, states, extra)
    weights = [torch.randn_like(r) for r in shapes]
    expected = gradients(truth, case, x, states, extra, weights)
    found = gradients(tested, case, x, states, extra, weights)
    wrong = list(differences(expected, found, TOLERANCE[case.dtype] * CONDITION.get(case.cell, 1)))
    assert wrong == [], f"{case}: {'; '.join(wrong)}"
