"""docs/places.md: where layers are at home and where torch.nn.LSTM is not, from the table that the tests measure."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the table is the tests'

from tests.places.table import PLACES, Place

HEAD = """# Places

Where an operation of torch has to live, and what `gatework.nn.LSTM` and `torch.nn.LSTM` do there, on the CPU. Every
entry is measured by `tests/places/test_table.py`: gatework's results and gradients against its reference backend, and
torch's failures as tests that must go on failing. This page is made from that table by `python docs/build.py`.
"""
NOTES = """
*kernel*: compiled. *reference*: the equations in a Python loop, said once on standard error. The same holds for every
cell that compiles, with lengths, further inputs, noise and any number of layers and directions.

- `vmap` over inputs runs the samples as one batch. Over parameters, and for gradients of parameters by sample, the
  kernel runs once for each sample. Noise needs `randomness="same"` or `"different"`, as torch's dropout does.
- Under torch.func, backward runs the kernel forward once more instead of keeping what it needs.
- An exported program names its cell by module and class. Another process runs it after `import gatework.nn`, and builds
  the kernel there; a class that cannot be imported is an error that says so.
- `lengths=` may be an input of a compiled or exported program; a `PackedSequence` may not.
- `torch.jit` is not served: torch itself points to `torch.export` instead.
"""


def page() -> str:
    """The whole page."""
    rows = ["| place | gatework | torch.nn.LSTM |", "|---|---|---|", *(_row(place) for place in PLACES)]
    return "\n".join([HEAD, *rows, NOTES])


def _row(place: Place) -> str:
    return f"| {place.name} | {place.runs or 'fails'} | {place.theirs or 'works'} |"
