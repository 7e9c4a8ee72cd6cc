"""Random cells, compiled and checked: 100 seeds here, 2,000 in `make nightly`.

A failure prints the whole cell; what it turns out to be becomes a fixed test in test_fuzz_found.py.
"""

from __future__ import annotations

import os

import pytest

from tests.compiler.fuzz import check
from tests.compiler.random_cells import KINDS, random_cell

FEW = 100
SEEDS = int(os.environ.get("GATEWORK_FUZZ_SEEDS", FEW))


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.usefixtures("own_cache", "same_threads", "poisoned_empty")
def test_random_cell(seed: int, request: pytest.FixtureRequest):
    """Most of a check's time is the C++ compiler's; of the first seeds, every tenth is built as users get it."""
    if seed < FEW and seed % 10:
        request.getfixturevalue("unoptimised")
    check(seed)


def test_a_seed_is_a_cell_for_ever():
    """The same text in every process, so that a failure can be looked at; every kind, and cells that may be refused."""
    cells = [random_cell(seed) for seed in range(70)]
    assert cells == [random_cell(seed) for seed in range(70)]
    assert len({cell.source for cell in cells}) == 70
    assert {cell.kind for cell in cells} == set(KINDS)
    assert 0 < sum(cell.outside for cell in cells) < 20


@pytest.mark.usefixtures("own_cache", "same_threads", "unoptimised")
def test_a_wrong_kernel_is_noticed(monkeypatch: pytest.MonkeyPatch):
    """The comparison can fail: a kernel that is a reference of other weights."""
    from gatework.nn import Recurrent

    monkeypatch.setattr(Recurrent, "load_state_dict", lambda self, state: None)
    with pytest.raises(AssertionError, match="relative error") as caught:
        check(0)
    assert "seed 0 (pointwise)" in str(caught.value)
    assert "class Random(Cell)" in str(caught.value)
