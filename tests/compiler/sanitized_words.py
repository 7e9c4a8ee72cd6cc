"""Run by test_sanitizers_fields.py in a process of its own: the cross-entropy of words under the sanitizers."""

from __future__ import annotations

import itertools

import torch

from gatework.compiler import build
from gatework.compiler.cross_entropy import cross_entropy
from tests.compiler.sanitized import command


def main() -> None:
    """Features, words and rows around the vector's edges, in one block and in many, on one thread and on two."""
    build.command = command
    for threads, dtype in itertools.product((1, 2), (torch.float, torch.double)):
        torch.set_num_threads(threads)
        for N, D, V in ((1, 1, 1), (5, 16, 16), (7, 17, 65), (9, 15, 80), (70, 130, 129)):
            h, weight, bias = (
                torch.randn(N, D, dtype=dtype),
                torch.randn(V, D, dtype=dtype),
                torch.randn(V, dtype=dtype),
            )
            for most, wanted in (
                (1 << 20, (True, True, True)),
                (4 * V, (True, False, True)),
                (V, (False, True, False)),
            ):
                losses, made = cross_entropy(h, weight, bias, torch.randint(0, V, (N,)), most, wanted)
                assert losses.isfinite().all() and all(t is None or t.isfinite().all() for t in made)
    print("clean")


if __name__ == "__main__":
    main()
