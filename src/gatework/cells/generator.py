"""Random numbers that are a function of where they are used, so that every backend and layout draws the same.

A number depends on the seed, the stream (which of a cell's declared noises), the step's position t in its sequence, the
row b of the batch and the unit, by integer arithmetic alone. Source of the idea: Salmon et al., "Parallel random
numbers: as easy as 1, 2, 3", SC 2011; of the mixing functions: Steele, Lea & Flood, "Fast splittable pseudorandom
number generators", OOPSLA 2014 (splitmix64), and C. Wellons' search for 32-bit integer hashes (2018, "lowbias32").
"""

from __future__ import annotations

import torch
from torch import Tensor

SEQUENCE = 0xFFFFFFFF  # stands for t where a number is the same at every step

_LOW = 0xFFFFFFFF


def new_seed() -> Tensor:
    """A seed from torch's generator, and 0, the position of the first step: int64 [2] on the CPU."""
    return torch.cat([torch.randint(1 << 62, (1,)), torch.zeros(1, dtype=torch.int64)])


def _signed(constant: int) -> int:
    return constant - (1 << 64) if constant >> 63 else constant


def _shift(z: Tensor, bits: int) -> Tensor:
    """Unsigned shift to the right of 64-bit numbers, which torch holds as signed ones."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def splitmix64(z: Tensor) -> Tensor:
    """A bijection of 64-bit numbers that scatters close ones; arithmetic wraps."""
    z = z + _signed(0x9E3779B97F4A7C15)
    z = (z ^ _shift(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shift(z, 31)


def mix32(x: Tensor) -> Tensor:
    """The same for 32-bit numbers, held in 64 bits."""
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & _LOW
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & _LOW
    return x ^ (x >> 16)


def uniform(seed: Tensor, stream: int, t: Tensor | int, b: Tensor, units: int, dtype: torch.dtype) -> Tensor:
    """Uniform numbers in (0, 1): (k + 1/2) / 2^23 for a random whole k, exact in float32.

    Args:
        seed: int64, one number.
        stream: which noise.
        t: position of the step, whole and >= 0, or a tensor of them that broadcasts with `b`; SEQUENCE for no step.
        b: int64 rows of the batch, [...].
        units: how many numbers.
        dtype: of the result.

    Returns:
        [..., units]
    """
    key = splitmix64(splitmix64(splitmix64(splitmix64(seed.reshape(())) ^ stream) ^ t) ^ b)
    unit = torch.arange(units, device=b.device)
    v = mix32((unit * 0x9E3779B9 + (key & _LOW).unsqueeze(-1)) & _LOW)
    v = mix32(v ^ _shift(key, 32).unsqueeze(-1))
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    return ((v >> 9).to(exact) + 0.5).mul(2.0**-23).to(dtype)
