"""Every random state a training run can touch: seeded, saved, restored, and given back as it was found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_all(seed: int) -> None:
    """Seed torch, NumPy's global generator and Python's `random`."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the state users' code may draw from
    random.seed(seed)


def capture() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The three states, as tensors and as values that JSON can hold."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002
    version, words, next_gauss = random.getstate()
    tensors = {
        "torch": torch.get_rng_state(),
        "numpy": torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        "python": torch.tensor(words, dtype=torch.int64),
    }
    values = {"numpy": [str(name), int(position), int(has_gauss), float(gauss)], "python": [version, next_gauss]}
    return tensors, values


def restore(tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Put back what `capture` gave."""
    torch.set_rng_state(tensors["torch"])
    name, position, has_gauss, gauss = values["numpy"]
    np.random.set_state((name, tensors["numpy"].numpy().astype(np.uint32), position, has_gauss, gauss))  # noqa: NPY002
    version, next_gauss = values["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), next_gauss))


@contextmanager
def borrowed(deterministic: bool) -> Iterator[None]:
    """Inside, randomness and torch's deterministic mode may be set freely; afterwards both are as they were found."""
    tensors, values = capture()
    mode = torch.get_deterministic_debug_mode()
    options: Any = torch.utils.deterministic
    filling = options.fill_uninitialized_memory
    torch.use_deterministic_algorithms(deterministic)
    # Filling fresh memory guards against kernels that read it; it costs time and changes no result here.
    options.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        options.fill_uninitialized_memory = filling
        restore(tensors, values)
