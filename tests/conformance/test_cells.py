"""One cell of each kernel class on the compiled backend against the reference in float64: results and all gradients."""

from __future__ import annotations

import random

import pytest
import torch

from tests.conformance.comparison import TYPED, Case, conforms

FORMS = {
    "full": (None, "padded"),
    "ragged": ((3, 0, 5, 1, 5), "padded"),
    "nothing": ((0, 0, 0, 0, 0), "padded"),
    "packed-sorted": ((5, 5, 3, 2, 1), "packed"),
    "packed": ((2, 5, 1, 5, 3), "packed"),
}
# T, B, I, H
SIZES = {
    "T1": (1, 4, 3, 20),
    "T1-B1": (1, 1, 3, 20),
    "B1": (6, 1, 5, 17),
    "H1": (4, 3, 2, 1),
    "H1-B1-T1-I1": (1, 1, 1, 1),
    "H3": (4, 7, 1, 3),
    "H16": (3, 8, 16, 16),
    "H63": (5, 9, 64, 63),
    "H500": (2, 3, 7, 500),
    "H130-I100": (3, 11, 100, 130),
    "I0": (4, 3, 0, 17),
    "I0-H1": (3, 2, 0, 1),
    "I1100": (2, 2, 1100, 64),
    "B0": (4, 0, 3, 5),
    "T0": (0, 3, 3, 5),
    "T60": (60, 2, 3, 8),
    "B70": (3, 70, 3, 5),
}


def dtype_name(value: object) -> str:
    return str(value).removeprefix("torch.")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(("cell", "dtype"), TYPED, ids=dtype_name)
def test_forms(cell: str, dtype: torch.dtype, num_layers: int, directions: int, form: str):
    lengths, kind = FORMS[form]
    options = {"num_layers": num_layers, "bidirectional": directions == 2}
    conforms(Case(cell, dtype=dtype, lengths=lengths, form=kind, layer=options))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("cell", "dtype"), TYPED, ids=dtype_name)
def test_sizes(cell: str, dtype: torch.dtype, size: str):
    T, B, I, H = SIZES[size]  # noqa: E741
    conforms(Case(cell, T, B, I, H, dtype))


@pytest.mark.parametrize("size", [(12, 9, 40, 63), (12, 3, 40, 130)], ids=["rows-split", "units-split"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "ragged"])
@pytest.mark.parametrize(("cell", "dtype"), TYPED, ids=dtype_name)
def test_two_threads(cell: str, dtype: torch.dtype, ragged: bool, size: tuple[int, int, int, int]):
    torch.set_num_threads(2)
    lengths = tuple((5 * b + 7) % (size[0] + 1) for b in range(size[1])) if ragged else None
    conforms(Case(cell, *size, dtype, lengths=lengths, layer={"bidirectional": True}))


@pytest.mark.parametrize("seed", range(40))
def test_random_combination(seed: int):
    """What the tables above do not cross: a seeded draw from all of it."""
    draw = random.Random(seed)
    torch.set_num_threads(draw.choice([1, 2]))
    T, B = draw.choice([1, 2, 7, 19]), draw.choice([1, 2, 3, 9, 17, 24])
    lengths = [draw.randint(0, T) for _ in range(B)] if draw.random() < 0.5 else None
    layer = {
        "num_layers": draw.choice([1, 2, 3]),
        "bidirectional": draw.random() < 0.4,
        "batch_first": draw.random() < 0.5,
        "bias": draw.random() < 0.8,
    }
    I, H = draw.choice([0, 1, 3, 16, 63, 100]), draw.choice([1, 3, 16, 17, 64, 65, 96, 130])  # noqa: E741
    cell, dtype = draw.choice(TYPED)
    conforms(Case(cell, T, B, I, H, dtype, lengths, layer=layer, initial=draw.random() < 0.6))
