"""Run by test_sanitizers_fields.py in a process of its own: chains of tags under the sanitizers, at odd edges."""

from __future__ import annotations

import torch

from gatework.compiler import build
from gatework.nn.crf import CRF
from tests.compiler.sanitized import command


def run(K: int, lengths: list[int], scale: float = 1.0) -> None:
    torch.manual_seed(K)
    crf = CRF(K, torch.rand(K, K).fill_diagonal_(1.0) > 0.3, backend="cpp")
    with torch.no_grad():
        crf.transitions.copy_(scale * torch.randn(K, K))
    scores = torch.randn(len(lengths), max(lengths, default=0), K, requires_grad=True)
    sizes = torch.tensor(lengths, dtype=torch.long)
    crf.loss(scores, crf.decode(scores, sizes), sizes).sum().backward()
    crf.best(scores, sizes, 3)
    assert crf.marginals(scores, sizes).isfinite().all() and scores.grad.isfinite().all()
    assert crf.transitions.grad.isfinite().all()


def main() -> None:
    """Tags around the edges of a vector and of a tile's rows, on one thread and on three."""
    build.command = command
    for threads in (1, 3):
        torch.set_num_threads(threads)
        for K in (1, 7, 16, 17, 49, 80):
            run(K, [9, 0, 1, 9, 4])
            run(K, [1])
            run(K, [60, 58, 3] * 7, scale=300.0)
        run(5, [])
        run(5, [0, 0])
    print("clean")


if __name__ == "__main__":
    main()
