"""Source to loaded kernel: find a compiler, build once, keep the result on disk, survive whatever happens meanwhile."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import platform
import re
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from gatework.cells.cell import Cell
from gatework.compiler.facts import Facts, StagedFacts, facts_from_json, facts_of
from gatework.compiler.graph import Unsupported
from gatework.compiler.plan import plan
from gatework.compiler.render.cpp import render, skeleton, tiles
from gatework.compiler.trace import fingerprint
from gatework.errors import GateworkError
from gatework.say import once

REALS = {torch.float32: "float", torch.float64: "double"}
# kept short for the products, with all else in float: the coding's file in render/native
CODINGS = {torch.bfloat16: "brain", torch.int8: "bytes"}


class BuildError(GateworkError):
    """No kernel could be built: there is no compiler, or it failed."""


@dataclass(frozen=True)
class Machine:
    """What kernels are built for.

    Attributes:
        vector_bytes, registers: width and number of the processor's vector registers.
        flags: the compiler's flags for this processor.
        processor: its name and features, as far as they matter for a cached kernel.
    """

    vector_bytes: int
    registers: int
    flags: tuple[str, ...]
    processor: str


@cache
def machine() -> Machine:
    """This processor: AVX-512, AVX2 or 16-byte vectors (NEON, SSE2)."""
    features = _processor_features()
    digest = hashlib.sha256(" ".join(sorted(features)).encode()).hexdigest()[:12]
    name = f"{platform.machine()} {digest}"
    if {"avx512f", "avx512dq", "avx512vl", "avx512bw"} <= features:
        return Machine(64, 32, ("-march=native",), name)
    if {"avx2", "fma"} <= features:
        return Machine(32, 16, ("-march=native",), name)
    if platform.machine() in ("aarch64", "arm64"):
        return Machine(16, 32, ("-mcpu=native",), name)
    return Machine(16, 16, (), name)


def _processor_features() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    for line in lines:
        if line.startswith(("flags", "Features")):
            return set(line.partition(":")[2].split())
    return set()


def compiler() -> str | None:
    """The C++ compiler: $CXX, g++, clang++ or c++, whichever is there first; None when there is none."""
    for name in (os.environ.get("CXX"), "g++", "clang++", "c++"):
        if name and (path := shutil.which(name)):
            return path
    return None


@cache
def cache_folder() -> Path:
    """Where kernels are kept: $GATEWORK_CACHE, else `gatework` in the user's caches, else a folder of this process.

    A folder that another user owns or may write to is not used, since what lies in it is executed.
    """
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(os.environ.get("GATEWORK_CACHE") or f"{home}/gatework").expanduser()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return folder
        reason = "another user may write to it"
    except OSError as error:
        reason = error.strerror or str(error)
    once("cache-folder", f"kernels are not kept: {folder}: {reason}. Set GATEWORK_CACHE to a folder of your own.")
    return Path(tempfile.mkdtemp(prefix="gatework-"))


@dataclass(frozen=True)
class Kernel:
    """A loaded kernel.  `forward` and `backward` take the address of a filled call and return 0, or 1 out of memory.

    `backward` is None for weights of eight bits.  `together` takes one of the two, the address of an array of calls'
    addresses, their number and that of threads, and runs each call on one thread.
    """

    key: str
    facts: Facts | StagedFacts
    source: Path
    forward: Any
    backward: Any
    together: Any


_loaded: dict[str, Kernel] = {}
_lock = threading.Lock()


def _renew_lock() -> None:
    """In a forked child: the thread that may have held the lock does not exist there."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def kernel(cell: Cell, dtype: torch.dtype) -> Kernel:
    """The kernel of a cell for a dtype: from memory, from disk, or built now.

    Raises Unsupported when the compiler cannot take the step, BuildError when there is no working C++ compiler.
    """
    if dtype not in REALS and dtype not in CODINGS:
        known = ", ".join(str(d) for d in (*REALS, *CODINGS))
        raise Unsupported(f"{dtype} is not compiled so far, only {known}.")
    key = kernel_key(cell, dtype)
    with _lock:
        if key not in _loaded:
            _loaded[key] = _load(key, cell, dtype)
        return _loaded[key]


_libraries: dict[str, tuple[ctypes.CDLL, Path]] = {}


def library(name: str, content: str, dtype: torch.dtype, source: Callable[[], str]) -> tuple[ctypes.CDLL, Path]:
    """A shared library of C++ from memory, from disk, or built now, linked with the tiles; for other skeletons.

    Args:
        name: becomes part of file names.
        content: what the source depends on besides the compiler's own text: a fingerprint and the skeleton's name.
        dtype: of its numbers.
        source: gives the source; called only when there is nothing to load.

    Returns the library, with its threads set up, and the file of its source.  Raises BuildError.
    """
    key, folder = _key(name, content, dtype), cache_folder()
    with _lock:
        if key not in _libraries:
            if not _whole(folder / f"{key}.so"):
                folder = _build(key, lambda: {f"{key}.cpp": source()}, dtype, folder, again=False)
            opened = ctypes.CDLL(str(folder / f"{key}.so"))
            _lend_threads(opened)
            _libraries[key] = opened, folder / f"{key}.cpp"
        return _libraries[key]


def kernel_key(cell: Cell, dtype: torch.dtype) -> str:
    """A name for everything that a kernel's machine code depends on."""
    return _key(cell.name, f"{fingerprint(cell)} {coding(dtype)}", dtype)


def _key(name: str, content: str, dtype: torch.dtype) -> str:
    path = compiler()
    status = Path(path).stat() if path else None
    tool = (path, status.st_size, status.st_mtime_ns) if status else None
    parts = (content, torch.__version__, machine(), tool, command(dtype), _version())
    name = re.sub(r"[^\w.-]", "_", name)  # it becomes part of file names
    return f"{name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:24]}"


# The compiler's own text, which every kernel depends on.
_TEXTS: tuple[str, ...] = ("sizes.py", "graph.py", "decompose.py", "tidy.py", "size_numbers.py", "diagonal.py")
_TEXTS += ("trace.py", "plan.py", "stages.py", "facts.py", "hoisting.py", "build.py")
_TEXTS += ("render/operations.py", "render/rows.py", "render/cpp.py", "render/staged.py")


@cache
def _version() -> str:
    """A hash of the compiler's own text: a changed Gatework never meets an old kernel."""
    here = Path(__file__).parent
    texts = [(here / name).read_text() for name in _TEXTS]
    return hashlib.sha256(repr((texts, skeleton())).encode()).hexdigest()


def command(dtype: torch.dtype, *arguments: str) -> list[str]:
    """The compiler's command line, without the compiler."""
    m, real = machine(), REALS.get(dtype, "float")
    sizes = [f"-DREAL={real}", f"-DVECTOR_BYTES={m.vector_bytes}", f"-DVECTOR_REGISTERS={m.registers}"]
    # no -ffast-math: it would fold away the rounding that exp relies on, and infinities
    return ["-std=c++17", "-O2", *m.flags, "-fPIC", "-fno-math-errno", "-fno-trapping-math", *sizes, *arguments]


def _load(key: str, cell: Cell, dtype: torch.dtype) -> Kernel:
    folder = cache_folder()
    for attempt in range(2):
        if attempt or not _whole(folder / f"{key}.so"):
            folder = _build(key, lambda: _files(key, cell, dtype), dtype, folder, again=attempt > 0)
        try:
            return _open(key, folder / f"{key}.so", facts_from_json((folder / f"{key}.json").read_text()))
        except (
            OSError,
            ValueError,
            KeyError,
            AttributeError,
            TypeError,
        ) as error:  # a damaged entry: build it again, once
            if attempt:
                raise BuildError(f"the kernel {key} was built in {folder} but cannot be loaded: {error}") from error
    raise AssertionError("unreachable")


def _files(key: str, cell: Cell, dtype: torch.dtype) -> dict[str, str]:
    """What a kernel is built from, and what a launch must know of it."""
    traced = plan(cell)
    return {f"{key}.cpp": render(traced, coding(dtype)), f"{key}.json": facts_of(traced).to_json()}


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).hexdigest().encode()


def _whole(path: Path) -> bool:
    """Whether a result is there as it was built: opening a library that was cut short would kill the process."""
    try:
        return _digest(path) == path.with_name(f"{path.name}.sha256").read_bytes()
    except OSError:
        return False


def _open(key: str, path: Path, facts: Facts | StagedFacts) -> Kernel:
    library = ctypes.CDLL(str(path))
    forward, backward = library.gatework_forward, getattr(library, "gatework_backward", None)
    for function in (forward, backward) if backward else (forward,):
        function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_int
    library.gatework_together.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
    _lend_threads(library)
    return Kernel(key, facts, path.with_suffix(".cpp"), forward, backward, library.gatework_together)


def _lend_threads(library: ctypes.CDLL) -> None:
    library.gatework_threads.argtypes = [ctypes.c_void_p] * 3
    library.gatework_threads(*_team_functions())


@cache
def _team_functions() -> tuple[int | None, int | None, int | None]:
    """Addresses in the OpenMP library that torch runs on, so that both share one set of threads."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return None, None, None
    for path in sorted({line.split()[-1] for line in lines if "libgomp" in line}, key=lambda p: "torch" not in p):
        library = ctypes.CDLL(path)
        names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
        start, rank, size = (ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in names)
        return start, rank, size
    return None, None, None


def _build(key: str, texts: Callable[[], dict[str, str]], dtype: torch.dtype, folder: Path, again: bool) -> Path:
    """Build into a folder, or into one of this process when that cannot be written; returns the folder used."""
    path = compiler()
    if path is None:
        raise BuildError("no C++ compiler was found (g++, clang++ or $CXX); install one, such as Debian's g++.")
    try:
        _build_in(folder, path, key, texts, dtype, again)
    except OSError as error:
        mend = "Set GATEWORK_CACHE to a folder that can be written."
        once("cache-folder", f"kernels are not kept: {folder}: {error.strerror}. {mend}")
        folder = Path(tempfile.mkdtemp(prefix="gatework-"))
        _build_in(folder, path, key, texts, dtype, again)
    return folder


def _build_in(
    folder: Path, path: str, key: str, texts: Callable[[], dict[str, str]], dtype: torch.dtype, again: bool
) -> None:
    with ThreadPoolExecutor(1) as other:  # the tiles are compiled while the cell is traced
        tiles_objects = other.submit(_all_tiles, folder, path, dtype, again)
        files = texts()
        tiles_paths = tiles_objects.result()
    with _sole_builder(folder / f"{key}.lock"):
        if again or not _whole(folder / f"{key}.so"):  # another process may have been faster
            result = f"{key}.so"
            arguments = command(dtype, "-shared", f"{key}.cpp", *map(str, tiles_paths), "-o", result)
            _compile(path, folder, files, result, arguments)


def coding(dtype: torch.dtype) -> str:
    """How a kernel's numbers are kept for the products: "plain", "brain" or "bytes"."""
    return CODINGS.get(dtype, "plain")


def _all_tiles(folder: Path, path: str, dtype: torch.dtype, again: bool) -> list[Path]:
    """Object files of the tiles that a kernel is linked to; that of bfloat16 goes backward in float32."""
    dtypes = (dtype, torch.float32) if dtype == torch.bfloat16 else (dtype,)
    return [_tiles(folder, path, d, again) for d in dtypes]


def _tiles(folder: Path, path: str, dtype: torch.dtype, again: bool) -> Path:
    """The object file of the tiles, which is the same for every cell."""
    key = _key("tiles", coding(dtype), dtype)
    with _sole_builder(folder / f"{key}.lock"):
        if again or not _whole(folder / f"{key}.o"):
            arguments = command(dtype, "-c", f"{key}.cpp", "-o", f"{key}.o")
            _compile(path, folder, {f"{key}.cpp": tiles(coding(dtype))}, f"{key}.o", arguments)
    return (folder / f"{key}.o").absolute()


@contextmanager
def _sole_builder(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, however that ends; OSError when another process never lets go of it."""
    patience = time.monotonic() + 120
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > patience:
                    raise OSError(errno.ETIMEDOUT, "another process has been building for two minutes") from None
                time.sleep(0.02)
        yield


def _compile(path: str, folder: Path, files: dict[str, str], result: str, arguments: list[str]) -> None:
    """Compile aside, then move everything into place: the result last, since it says that the entry is whole."""
    with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as room:
        for name, text in files.items():
            (Path(room) / name).write_text(text)
        done = subprocess.run([path, *arguments], cwd=room, capture_output=True, text=True, check=False)
        if done.returncode:
            detail = (
                "\n".join(line for line in done.stderr.splitlines() if "error" in line)[:2000] or done.stderr[:2000]
            )
            raise BuildError(f"{path} failed on {result}:\n{detail}")
        seal = f"{result}.sha256"
        (Path(room) / seal).write_bytes(_digest(Path(room) / result))
        for name in (*files, seal, result):
            (Path(room) / name).replace(folder / name)
