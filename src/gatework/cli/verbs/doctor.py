"""Check this machine: versions, compiler, vector units, and every shipped cell's kernel against its equations.

Ends with code 1 where a kernel is wrong. A machine without a C++ compiler is not an error: the reference is used there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gatework.compiler.launch import Backend

# fp32 has 24 bits; sums over 40 steps and 33 units lose a few of them.
TOLERANCE = 2e-5


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Takes nothing."""


def run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    from gatework.cells import catalogue
    from gatework.cli.flags import refuse_unknown
    from gatework.compiler.build import compiler

    refuse_unknown("gatework doctor", rest)
    for name, value in (*_versions(), *_machine()):
        print(f"{name:<10}  {value}")
    print()
    backend: Backend = "cpp" if compiler() else "reference"
    wrong = 0
    for name in catalogue():
        error, seconds = _self_test(name, backend)
        sound = error <= TOLERANCE
        wrong += not sound
        verdict = "ok" if sound else "WRONG"
        print(f"{verdict:<5}  {name:<14}  {backend:<9}  relative error {error:.0e}  {seconds:.2f} s")
    print()
    print(f"{wrong} kernel(s) disagree with their equations" if wrong else "all kernels agree with their equations")
    return 1 if wrong else 0


def _versions() -> Iterator[tuple[str, str]]:
    import importlib.util
    import platform
    from importlib import metadata

    import torch

    import gatework

    yield "gatework", gatework.__version__
    yield "python", platform.python_version()
    yield "torch", torch.__version__
    needed = ("pydantic", "narwhals", "lightning_fabric", "safetensors", "pandas", "matplotlib", "yaml", "rich")
    missing = [name for name in needed if not importlib.util.find_spec(name)]
    ready = "" if missing else f"ready, pandas {metadata.version('pandas')}"
    yield "forecast", f"not installed: {', '.join(missing)}; pip install 'gatework[forecast]'" if missing else ready


def _machine() -> Iterator[tuple[str, str]]:
    import platform
    import subprocess

    import torch

    from gatework.compiler.build import cache_folder, compiler, machine

    yield "machine", f"{platform.machine()}, {torch.get_num_threads()} threads for torch"
    yield "vectors", f"{8 * machine().vector_bytes} bits, {machine().registers} registers"
    path = compiler()
    if path is None:
        yield "compiler", "none: install g++ or clang++; until then every cell runs on the reference backend, slowly"
    else:
        shown = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        yield "compiler", f"{path} ({(shown.splitlines() or ['no version'])[0]})"
    yield "kernels", str(cache_folder())


def _self_test(name: str, backend: Backend) -> tuple[float, float]:
    """(largest relative error of outputs and gradients, seconds to build and run) of a small fp32 layer."""
    import time

    import torch

    from gatework.nn import Recurrent

    def results(layer: Recurrent, x: torch.Tensor) -> list[torch.Tensor]:
        leaf = x.clone().requires_grad_()
        y, _ = layer(leaf)
        return [y.detach(), *torch.autograd.grad(y.square().sum(), [leaf, *layer.parameters()])]

    torch.manual_seed(0)
    layer = Recurrent(name, 17, 33, backend=backend)
    x = torch.randn(40, 3, 17)
    start = time.perf_counter()
    got = results(layer, x)
    seconds = time.perf_counter() - start
    exact = Recurrent(name, 17, 33, backend="reference").double()
    exact.load_state_dict(layer.state_dict())
    pairs = zip(got, results(exact, x.double()), strict=True)
    return max(float((a - b).norm() / b.norm().clamp_min(1e-30)) for a, b in pairs), seconds
