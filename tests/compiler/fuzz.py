"""A random cell on a random layer and batch: compiled against the reference, values and every gradient, in float64."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence

from gatework.cells import Cell
from gatework.cells.declarations import Extra
from gatework.compiler.trace import Unsupported
from gatework.nn import Recurrent
from tests.compiler.random_cells import RandomCell, random_cell
from tests.conformance.comparison import differences

# Relative to the norm of each result. Both sides round to 2^-53; what a step does with it grows over at most 9 steps
# of operations whose slopes are at most about 3, and a wrong formula is off by far more.
TOLERANCE = 1e-9
# Most layers have none.
REGULARISERS: tuple[dict[str, Any], ...] = (
    *({},) * 10,
    {"zoneout": 0.3},
    {"zoneout": {"s0": 0.2}},
)
OF_MATRICES: tuple[dict[str, Any], ...] = ({"zoneout": 0.1, "variational_dropout": 0.3}, {"weight_drop": 0.5})
OF_CANDIDATES: tuple[dict[str, Any], ...] = ({"recurrent_dropout": 0.3}, {"recurrent_dropout": 0.2, "zoneout": 0.1})


@dataclass(frozen=True)
class Trial:
    """How a cell is run; the numbers are chosen by the seed.

    Attributes:
        T, B, I, H: sizes.
        lengths: of the sequences, in a padded batch or as `packed`; None when all are T.
        initial: initial states are given.
        layer: further arguments of the layer.
        threads: of torch and the kernel.
    """

    T: int = 3
    B: int = 3
    I: int = 2  # noqa: E741
    H: int = 4
    lengths: tuple[int, ...] | None = None
    packed: bool = False
    initial: bool = True
    layer: dict[str, Any] = field(default_factory=dict)
    threads: int = 1


def trial(seed: int, cell: RandomCell) -> Trial:
    """The sizes and form of a seed."""
    draw = random.Random(f"trial {seed}")
    T, B = draw.choice([1, 2, 5, 9]), draw.choice([1, 2, 3, 9, 17])
    H = draw.choice([1, 2, 3, 8, 9, 17, 33])
    H += -H % cell.multiple
    form = draw.choice(["full", "full", "padded", "packed"])
    least = 1 if form == "packed" else 0
    lengths = None if form == "full" else (*(draw.randint(least, T) for _ in range(B - 1)), T)
    regularisers = (
        REGULARISERS
        + OF_MATRICES * (cell.kind != "diagonal")
        + OF_CANDIDATES * ("self.drop(" in cell.source)  # what drops nothing is refused
    )
    layer = {
        "num_layers": draw.choice([1, 1, 2]),
        "bidirectional": draw.random() < 0.3,
        "batch_first": draw.random() < 0.4,
        "bias": draw.random() < 0.8,
        **draw.choice(regularisers),
    }
    packed, initial = form == "packed", draw.random() < 0.6
    return Trial(T, B, draw.choice([1, 3, 8, 19]), H, lengths, packed, initial, layer, draw.choice([1, 1, 2]))


def check(seed: int) -> str:
    """Compare both backends on the cell of a seed; returns why the cell was refused, or nothing.

    Raises AssertionError with the cell's source for any difference, and for a refusal of what should compile or one
    that names no operation.
    """
    cell = random_cell(seed)
    case = trial(seed, cell)
    where = f"seed {seed} ({cell.kind}), {case}\n{cell.source}"
    torch.manual_seed(seed)
    wrong, refused = [], ""
    try:
        wrong = compare(cell.make(), case)
    except Unsupported as error:
        refused = str(error)
    assert not wrong, f"{'; '.join(wrong)}\n{where}"
    assert cell.outside or not refused, f"refused: {refused}\n{where}"
    assert "`" in refused or not refused, f"the reason names no operation: {refused}\n{where}"
    return refused


def compare(cell: Cell, case: Trial) -> list[str]:
    """What differs between the backends: results and gradients by name; empty when all is right."""
    torch.set_num_threads(case.threads)
    layers = [
        Recurrent(cell, case.I, case.H, backend=backend, dtype=torch.float64, **case.layer)
        for backend in ("reference", "cpp")
    ]
    layers[1].load_state_dict(layers[0].state_dict())
    x, states, extra = _inputs(layers[0], case)
    weights = [torch.randn_like(result) for result in _call(layers[0], case, x, states, extra)]
    truth, tested = (_results(layer, case, x, states, extra, weights) for layer in layers)
    return list(differences(truth, tested, TOLERANCE))


def _inputs(layer: Recurrent, case: Trial) -> tuple[Tensor, list[Tensor] | None, dict[str, Tensor]]:
    """Random x, initial states and those inputs of each step that have no default."""
    cell, rows = layer.cell, (case.B, case.T) if layer.batch_first else (case.T, case.B)
    x = torch.randn(*rows, case.I, dtype=torch.float64)
    extra = {
        name: torch.rand(*rows, cell.measure(declared.size, case.H, case.I), dtype=torch.float64) + 0.1
        for _, name, declared in cell.entries(Extra)
        if declared.default is None
    }
    depth = layer.num_layers * layer.num_directions
    states = [torch.randn(depth, case.B, width, dtype=torch.float64) for width in layer.state_sizes]
    return x, states if case.initial else None, extra


def _call(
    layer: Recurrent, case: Trial, x: Tensor, states: Sequence[Tensor] | None, extra: dict[str, Tensor]
) -> list[Tensor]:
    """Outputs (packed: their data) and final states, with the same random numbers every time."""
    torch.manual_seed(1)
    hx = None if states is None else states[0] if len(states) == 1 else tuple(states)
    given = {"extra": extra} if extra else {}
    if case.packed:
        assert case.lengths is not None
        pack = [
            pack_padded_sequence(v, torch.tensor(case.lengths), layer.batch_first, enforce_sorted=False)
            for v in (x, *extra.values())
        ]
        given = {"extra": dict(zip(extra, pack[1:], strict=True))} if extra else {}
        y, finals = layer(pack[0], hx, **given)
        y = y.data
    else:
        y, finals = layer(x, hx, lengths=case.lengths, **given)
    return [y, *((finals,) if isinstance(finals, Tensor) else finals)]


def _results(
    layer: Recurrent,
    case: Trial,
    x: Tensor,
    states: Sequence[Tensor] | None,
    extra: dict[str, Tensor],
    weights: Sequence[Tensor],
) -> dict[str, Tensor]:
    """What a call returns and the gradients of its weighted sum, by name."""
    x = x.clone().requires_grad_()
    states = None if states is None else [s.clone().requires_grad_() for s in states]
    extra = {name: value.clone().requires_grad_() for name, value in extra.items()}
    results = _call(layer, case, x, states, extra)
    sources = {"x": x, **{f"initial {k}": s for k, s in enumerate(states or [])}, **extra}
    sources |= dict(layer.named_parameters())
    total = torch.stack([(r * w).sum() for r, w in zip(results, weights, strict=True)]).sum()
    found: Sequence[Tensor | None] = [None] * len(sources)  # a step of constants has no gradient at all
    if total.requires_grad:
        found = torch.autograd.grad(total, list(sources.values()), allow_unused=True)
    named = {f"result {k}": r.detach() for k, r in enumerate(results)}
    for (name, source), gradient in zip(sources.items(), found, strict=True):
        named[f"gradient of {name}"] = torch.zeros_like(source) if gradient is None else gradient
    return {name: value.detach() for name, value in named.items()}
