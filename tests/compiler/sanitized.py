"""Run by test_sanitizers.py in a process of its own: kernels built with the sanitizers, on shapes with odd edges."""

from __future__ import annotations

import itertools
import os
import sys

import torch

from gatework.cells import find
from gatework.compiler import build
from gatework.nn import Recurrent, quantize
from tests.compiler.test_further_inputs import Decaying

SHORT = {"bfloat16": torch.bfloat16}
plain = build.command
os.environ.pop("LD_PRELOAD", None)  # the sanitizers are in this process by now; the compiler is faster without


def command(dtype: torch.dtype, *arguments: str) -> list[str]:
    """The usual command line, but checked: addresses, and what C++ leaves undefined."""
    flags = [f for f in plain(dtype, *arguments) if f != "-O2"]
    return ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *flags]


build.command = command


def run(cell: str, T: int, B: int, I: int, H: int, **options: object) -> None:  # noqa: E741
    ragged, (name, _, how) = options.pop("ragged", False), cell.partition(":")
    made = Decaying() if name == "further-inputs" else find(name)
    layer = Recurrent(made, I, H, backend="cpp", dtype=SHORT.get(how), **options)
    x = torch.randn(T, B, I, dtype=SHORT.get(how), requires_grad=True)
    lengths = [(3 * b + 1) % (T + 1) for b in range(B)] if ragged else None
    if how == "int8":
        with torch.no_grad():
            assert quantize(layer)(x, lengths=lengths)[0].isfinite().all()
        return
    extra = {"mask": torch.rand(T, B, H, requires_grad=True)} if name == "further-inputs" else None
    y, finals = layer(x, lengths=lengths, extra=extra)
    (y.sum() + sum(f.sum() for f in (finals if isinstance(finals, tuple) else (finals,)))).backward()
    with torch.no_grad():
        layer(x, lengths=lengths, extra=extra)
    assert y.isfinite().all() and x.grad.isfinite().all()


def main(cells: list[str]) -> None:
    """Each kernel ("lstm", "lstm:int8") over sizes around the vector's and the tile's edges, on one thread and two."""
    for cell, threads in itertools.product(cells, (1, 2)):
        torch.set_num_threads(threads)
        for size in ((1, 1, 0, 1), (1, 1, 3, 17), (3, 2, 17, 16), (4, 9, 5, 33), (2, 13, 33, 70), (12, 3, 70, 130)):
            run(cell, *size)
            run(cell, *size, ragged=True, bidirectional=True, bias=False)
        run(cell, 3, 2, 1100, 5)
        run(cell, 300, 1, 40, 12)  # long and narrow: diagonal cells that are linear divide the steps
    print("clean")


if __name__ == "__main__":
    main(sys.argv[1:])
