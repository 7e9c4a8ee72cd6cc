"""Check this machine: versions, compiler, vector units, and every shipped cell's kernel against its equations.

Ends with code 1 where a kernel is wrong. A machine without a C++ compiler is not an error: the reference is used there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Takes nothing."""


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    from gatework.cells import catalogue
    from gatework.cli.flags import refuse_unknown

    refuse_unknown("gatework doctor", rest)
    for name, value in _facts():
        print(f"{name:<10}  {value}")
    print()
    wrong = 0
    for name in catalogue():
        error, seconds, kernel = _self_test(name)
        sound = error <= TOLERANCE
        wrong += not sound
        verdict = "ok" if sound else "WRONG"
        print(f"{verdict:<5}  {name:<14}  {kernel:<10}  relative error {error:.1e}  {seconds:5.2f} s")
    print()
    print("all kernels agree with their equations" if not wrong else f"{wrong} kernel(s) disagree with their equations")
    return 1 if wrong else 0


# fp32 has 24 bits; sums over 40 steps and 33 units lose a few of them.
TOLERANCE = 2e-5


def _facts() -> Iterator[tuple[str, str]]:
    import importlib.util
    import platform
    from importlib import metadata

    import torch

    import gatework
    from gatework.compiler.build import cache_folder, compiler_version, vector_isa

    yield "gatework", gatework.__version__
    yield "python", platform.python_version()
    yield "torch", torch.__version__
    yield "machine", f"{platform.machine()}, {torch.get_num_threads()} threads"
    yield "vectors", vector_isa()
    yield (
        "compiler",
        compiler_version() or "none: install g++ or clang++; until then every cell runs on the reference backend",
    )
    yield "kernels", str(cache_folder())
    extras = [
        name
        for name in ("pydantic", "narwhals", "lightning_fabric", "matplotlib")
        if not importlib.util.find_spec(name)
    ]
    pandas = metadata.version("pandas") if importlib.util.find_spec("pandas") else "none"
    yield (
        "forecast",
        f"missing: {', '.join(extras)}; pip install 'gatework[forecast]'" if extras else f"ready (pandas {pandas})",
    )


def _self_test(name: str) -> tuple[float, float, str]:
    """(largest relative error of outputs and gradients, seconds for build and run, backend) of a small layer, fp32."""
    import time

    import torch

    from gatework.nn import Recurrent

    torch.manual_seed(0)
    layer = Recurrent(name, 17, 33)
    x = torch.randn(40, 3, 17)

    def results(of: Recurrent, x: torch.Tensor) -> list[torch.Tensor]:
        leaf = x.clone().requires_grad_()
        y, _ = of(leaf)
        return [y, *torch.autograd.grad(y.square().sum(), [leaf, *of.parameters()])]

    start = time.perf_counter()
    got = results(layer, x)
    seconds = time.perf_counter() - start
    exact = Recurrent(name, 17, 33, backend="reference").double()
    exact.load_state_dict(layer.state_dict())
    expected = results(exact, x.double())
    error = max(float((a - b).norm() / b.norm().clamp_min(1e-30)) for a, b in zip(got, expected, strict=True))
    return error, seconds, "compiled"
