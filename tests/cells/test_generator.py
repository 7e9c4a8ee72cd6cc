"""The counter-based generator: its definition in whole numbers, and that it looks random in every direction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gatework.cells.generator import SEQUENCE, new_seed, uniform

WORD, HALF = (1 << 64) - 1, (1 << 32) - 1


def splitmix64(z: int) -> int:
    z = (z + 0x9E3779B97F4A7C15) & WORD
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & WORD
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & WORD
    return z ^ z >> 31


def mix32(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D & HALF
    x ^= x >> 15
    x = x * 0x846CA68B & HALF
    return x ^ x >> 16


def number(seed: int, stream: int, t: int, b: int, unit: int) -> float:
    key = splitmix64(splitmix64(splitmix64(splitmix64(seed) ^ stream) ^ t) ^ b)
    v = mix32((unit * 0x9E3779B9 + (key & HALF)) & HALF)
    return ((mix32(v ^ key >> 32) >> 9) + 0.5) * 2.0**-23


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", [0, 1, (1 << 62) - 1, 6364136223846793005])
def test_definition(seed: int, dtype: torch.dtype):
    for stream, t in ((0, 0), (3, 1), (1 << 17, 99_999), (1, SEQUENCE)):
        found = uniform(torch.tensor(seed), stream, t, torch.tensor([0, 5, 1 << 20]), 4, dtype)
        expected = [[number(seed, stream, t, b, unit) for unit in range(4)] for b in (0, 5, 1 << 20)]
        assert found.dtype == dtype and found.double().tolist() == expected, "the same number in every dtype"


def test_reference_values_of_splitmix64():
    """The first outputs for seed 0 of the authors' generator, whose state grows by the constant that is added first."""
    assert splitmix64(0) == 0xE220A8397B1DCDAF
    assert splitmix64(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4


def block(seed: int = 7) -> Tensor:
    """Numbers [stream, t, b, unit]."""
    rows = torch.arange(32)
    numbers = [[uniform(torch.tensor(seed), s, t, rows, 32, torch.float64) for t in range(32)] for s in range(4)]
    return torch.stack([torch.stack(steps) for steps in numbers])


def test_uniform():
    numbers = block().flatten()
    n = numbers.numel()  # 131,072
    assert numbers.min() > 0 and numbers.max() < 1
    assert abs(numbers.mean() - 0.5) < 4 * (1 / 12 / n) ** 0.5
    counts = torch.histc(numbers, 64, 0, 1)
    chi = ((counts - n / 64) ** 2 / (n / 64)).sum()
    assert 63 - 4 * 126**0.5 < chi < 63 + 4 * 126**0.5, "neither uneven nor too even"
    assert numbers.unique().numel() > n - 2 * n * n / 2**24, "no more repeats than chance makes"


@pytest.mark.parametrize("axis", range(4), ids=["stream", "t", "b", "unit"])
def test_independent_along(axis: int):
    """Neighbours in any direction, near and farther, are uncorrelated: also in squares, which a shift would not be."""
    numbers = block() - 0.5
    for lag in (1, 2, 3):
        a = numbers.narrow(axis, 0, numbers.shape[axis] - lag).flatten()
        b = numbers.narrow(axis, lag, numbers.shape[axis] - lag).flatten()
        bound = 4.5 / a.numel() ** 0.5
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < bound
        assert abs(torch.corrcoef(torch.stack([a * a, b * b]))[0, 1]) < bound


def test_seeds_that_are_close_give_other_numbers():
    a, b = block(7).flatten() - 0.5, block(8).flatten() - 0.5
    assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 4.5 / a.numel() ** 0.5


def test_new_seeds_follow_torchs_generator():
    torch.manual_seed(1)
    first, second = new_seed(), new_seed()
    torch.manual_seed(1)
    assert torch.equal(new_seed(), first) and not torch.equal(first, second)
    assert first.dtype == torch.int64 and first.shape == (2,) and first[1] == 0
