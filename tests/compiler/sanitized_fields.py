"""Run by test_sanitizers_fields.py in a process of its own: field kernels under the sanitizers, at odd edges."""

from __future__ import annotations

import torch

from gatework.compiler import build
from gatework.nn import ConvRecurrent
from tests.compiler.sanitized import command


def run(cell: str, C: int, field: tuple[int, ...], **options: object) -> None:
    lengths = options.pop("lengths", None)
    layer = ConvRecurrent(cell, C, C, 3, backend="cpp", dims=len(field), **options)
    x = torch.randn(3, 2, C, *field, requires_grad=True)
    y, finals = layer(x, lengths=lengths)
    (y.sum() + sum(f.sum() for f in (finals if isinstance(finals, tuple) else (finals,)))).backward()
    with torch.no_grad():
        layer(x, lengths=lengths)
    assert y.isfinite().all() and x.grad.isfinite().all()


def main() -> None:
    """Channels around the vector's edges, fields around the tile's, on one thread and on two."""
    build.command = command
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for C in (1, 16, 19, 33):
            run("peephole-lstm", C, (5, 7), spatial_size=(5, 7))
            run("gru", C, (2, 2), bidirectional=True, lengths=[3, 1])
        run("gru", 20, (1, 1))
        run("peephole-lstm", 17, (9,), bias=False)
        run("gru", 3, (2, 3, 2))
    print("clean")


if __name__ == "__main__":
    main()
