"""Check this machine: versions, compiler, vector units, and the kernels of cells against their equations.

One cell of each kernel class is tested; with --all every shipped one, which takes some minutes the first time. Ends
with code 1 where a kernel is wrong. A machine without a C++ compiler is not an error: the reference is used there.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gatework.compiler.launch import Backend

# fp32 has 24 bits; sums over 40 steps and 33 units lose a few of them.
TOLERANCE = 2e-5


# A cell of each kernel class: M1, M1r, M2, D, S, and the one that most people use besides.
SAMPLE = ("lstm", "gru", "layer-norm-lstm", "gru-reset-before", "ind-rnn", "min-gru")


def arguments(parser: argparse.ArgumentParser, argv: Sequence[str]) -> None:
    """Which cells."""
    parser.add_argument("--all", action="store_true", help="every shipped cell, not one of each kernel class")


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
    for name in catalogue() if options.all else SAMPLE:
        error, seconds = _self_test(name, backend)
        sound = error <= TOLERANCE
        wrong += not sound
        verdict = "ok" if sound else "WRONG"
        print(f"{verdict:<5}  {name:<22}  {backend:<9}  relative error {error:.0e}  {seconds:.2f} s")
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

    from gatework.cells import find
    from gatework.cells.declarations import Extra
    from gatework.nn import Recurrent

    I, H = 20, 36  # noqa: E741  # no whole vectors, but whole quaternions
    entries = [(entry, d) for _, entry, d in find(name).entries(Extra)]
    further = {entry: torch.rand(40, 3, find(name).measure(d.size, H, I)) for entry, d in entries}

    def results(layer: Recurrent, x: torch.Tensor) -> list[torch.Tensor]:
        leaf = x.clone().requires_grad_()
        y, _ = layer(leaf, extra={key: value.to(x.dtype) for key, value in further.items()} or None)
        leaves = [leaf, *layer.parameters()]
        return [y.detach(), *torch.autograd.grad(y.square().sum(), leaves, materialize_grads=True)]

    torch.manual_seed(0)
    layer = Recurrent(name, I, H, backend=backend)
    x = torch.randn(40, 3, I)
    start = time.perf_counter()
    got = results(layer, x)
    seconds = time.perf_counter() - start
    exact = Recurrent(name, I, H, backend="reference").double()
    exact.load_state_dict(layer.state_dict())
    pairs = zip(got, results(exact, x.double()), strict=True)
    return max(float((a - b).norm() / b.norm().clamp_min(1e-30)) for a, b in pairs), seconds
