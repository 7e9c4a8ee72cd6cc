"""The same source for narrower vectors than this machine's: AVX2 and 16 bytes, with 16 registers."""

from __future__ import annotations

import platform

import pytest
import torch

from gatework.cells import find
from gatework.compiler import build, call, native
from gatework.nn import Recurrent
from tests.conformance.comparison import TOLERANCE, distance

WIDTHS = {
    "avx2": build.Machine(32, 16, ("-mavx2", "-mfma"), "avx2"),
    "sse2": build.Machine(16, 16, (), "sse2"),
    "16-bytes-32-registers": build.Machine(16, 32, (), "neon's shape"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", WIDTHS)
def test_narrower_vectors(width: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    if width == "avx2" and not {"avx2", "fma"} <= build._processor_features():
        pytest.skip("needs a processor with AVX2")
    if width == "sse2" and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("needs an x86-64 processor")
    for module in (build, native, call):
        if hasattr(module, "machine"):
            monkeypatch.setattr(module, "machine", lambda: WIDTHS[width])
    torch.manual_seed(0)
    cell = find("peephole-lstm")
    for T, B, I, H in ((3, 2, 0, 1), (1, 1, 3, 7), (4, 9, 5, 33), (2, 3, 40, 64)):  # noqa: E741
        for lengths in (None, [(2 * b + 1) % (T + 1) for b in range(B)]):
            fast = Recurrent(cell, I, H, bidirectional=True, backend="cpp", dtype=dtype)
            slow = Recurrent(cell, I, H, bidirectional=True, backend="reference", dtype=torch.float64)
            slow.load_state_dict(fast.state_dict())
            x, found = torch.randn(T, B, I, dtype=dtype), []
            for layer in (fast, slow):
                given = x.to(layer.weight_ih_l0.dtype).requires_grad_()
                y, finals = layer(given, lengths=lengths)
                total = y.square().sum() + sum(f.square().sum() for f in finals)
                found.append([y, *finals, *torch.autograd.grad(total, [given, *layer.parameters()])])
            assert all(distance(b, a) <= TOLERANCE[dtype] for a, b in zip(*found, strict=True))


def test_this_machine(monkeypatch: pytest.MonkeyPatch):
    """The width follows the processor's features."""
    choose = build.machine.__wrapped__
    avx512 = {"avx512f", "avx512dq", "avx512vl", "avx512bw", "avx2", "fma"}
    for features, width in ((avx512, 64), ({"avx2", "fma"}, 32), ({"avx2"}, 16), (set(), 16)):
        monkeypatch.setattr(build, "_processor_features", lambda found=features: found)
        assert choose().vector_bytes == width
