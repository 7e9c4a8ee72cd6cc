"""Kernels on disk: reused by the next process, built once by many, and unharmed by kills, damage and bad folders."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gatework.cells import find
from gatework.compiler import build
from gatework.compiler.launch import kernel_or_refusal
from gatework.nn import RNN, Recurrent
from gatework.say import recording

# The program that the other processes run: one layer, compared with torch's; then its argument is executed.
PROGRAM = """
import sys, torch
import gatework.nn
torch.manual_seed(0)
theirs = torch.nn.RNN(3, 5)
ours = gatework.nn.RNN(3, 5, backend=sys.argv[1])
ours.load_state_dict(theirs.state_dict())
x = torch.randn(4, 2, 3)
for layer in (theirs, ours):
    layer(x)[0].sum().backward()
modules = set(sys.modules)  # before torch.testing brings in its own
torch.testing.assert_close(ours(x)[0], theirs(x)[0])
for a, b in zip(ours.parameters(), theirs.parameters()):
    torch.testing.assert_close(a.grad, b.grad)
exec(sys.argv[2])
print("right")
"""


def start(folder: Path, then: str = "pass", backend: str = "cpp", prefix: tuple[str, ...] = (), **environment: str):
    settings = {**os.environ, "GATEWORK_CACHE": str(folder), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [*prefix, sys.executable, "-W", "error", "-c", PROGRAM, backend, then],
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ends_well(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0 and "right" in out, err
    return out + err


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that another process has filled with one kernel."""
    folder = tmp_path_factory.mktemp("cache")
    ends_well(start(folder))
    return folder


@pytest.fixture
def cache(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, used by this process as if it had just begun."""
    folder = tmp_path / "cache"
    shutil.copytree(filled, folder, copy_function=shutil.copy2)
    monkeypatch.setattr(build, "cache_folder", lambda: folder)
    monkeypatch.setattr(build, "_loaded", {})
    return folder


def entry(folder: Path, suffix: str) -> Path:
    (path,) = folder.glob(f"rnn-*.{suffix}")
    return path


def forget(layer: Recurrent) -> Recurrent:
    """The layer with a cell that has not been asked for a kernel yet."""
    layer.cell = find("rnn")
    return layer


def test_the_next_process_builds_nothing_and_imports_little(filled: Path):
    before = {path.name: path.stat().st_mtime_ns for path in filled.iterdir()}
    heavy = ("torch._dynamo", "torch.fx.experimental.proxy_tensor", "torch._inductor", "networkx", "sympy")
    then = f"""
print("heavy:", [name for name in {heavy!r} if name in modules])
"""
    out = ends_well(start(filled, then))
    alone = subprocess.run(
        [sys.executable, "-c", f"import sys, torch; print('heavy:', [n for n in {heavy!r} if n in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.splitlines()[0] == alone.stdout.strip(), "what importing torch brings along, and no more"
    assert {path.name: path.stat().st_mtime_ns for path in filled.iterdir()} == before


def test_processes_that_build_at_once(tmp_path: Path):
    processes = [start(tmp_path / "cache") for _ in range(2)]
    for process in processes:
        ends_well(process)
    assert len(list((tmp_path / "cache").glob("rnn-*.so"))) == 1
    assert list((tmp_path / "cache").glob("build-*")) == [], "nothing is left half"


def test_killed_while_building(tmp_path: Path):
    """kill -9 with the compiler at work: the next process builds, and waits for no lock."""
    slow, begun, go = tmp_path / "slow-c++", tmp_path / "begun", tmp_path / "go"
    slow.write_text(f'#!/bin/sh\n[ -e {go} ] || {{ touch {begun}; exec sleep 300; }}\nexec {build.compiler()} "$@"\n')
    slow.chmod(0o755)
    process = start(tmp_path / "cache", CXX=str(slow))
    try:
        deadline = time.monotonic() + 120
        while not begun.exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()  # the parent alone: its compiler lives on for a while, as it would
        process.communicate(timeout=60)
        assert list((tmp_path / "cache").glob("*.so")) == []
        go.touch()
        ends_well(start(tmp_path / "cache", CXX=str(slow)))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    assert len(list((tmp_path / "cache").glob("rnn-*.so"))) == 1


DAMAGE = {
    "library empty": ("so", lambda path: path.write_bytes(b"")),
    "library is text": ("so", lambda path: path.write_text("not a library")),
    "library cut": ("so", lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])),
    "library without its functions": ("so", lambda path: other_library(path)),
    "facts empty": ("json", lambda path: path.write_text("")),
    "facts of another kind": ("json", lambda path: path.write_text(json.dumps([1, 2]))),
    "facts without a key": ("json", lambda path: path.write_text(json.dumps({"saved": 1}))),
    "facts missing": ("json", lambda path: path.unlink()),
}


def other_library(path: Path) -> None:
    source = path.with_name("other.cpp")
    source.write_text("int nothing;\n")
    subprocess.run([build.compiler() or "c++", "-shared", "-o", str(path), str(source)], check=True)


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_entries_are_built_again(cache: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    suffix, damage = DAMAGE[name]
    path = entry(cache, suffix)
    damage(path)
    layer = forget(RNN(3, 5, backend="cpp"))
    assert layer(torch.zeros(4, 2, 3))[0].isfinite().all()
    assert entry(cache, "json").read_text().startswith("{")


def test_damaged_tiles_do_not_stop_a_build(cache: Path):
    entry(cache, "so").unlink()
    for tiles in cache.glob("tiles-*.o"):
        tiles.write_bytes(b"")
    assert forget(RNN(3, 5, backend="cpp"))(torch.zeros(4, 2, 3))[0].isfinite().all()


def test_cache_folder_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    choose = build.cache_folder.__wrapped__
    monkeypatch.setenv("GATEWORK_CACHE", str(tmp_path / "deep" / "cache"))
    assert choose() == tmp_path / "deep" / "cache" and choose().stat().st_mode & 0o777 == 0o700
    monkeypatch.delenv("GATEWORK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert choose() == tmp_path / "xdg" / "gatework"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(mode)
    monkeypatch.setenv("GATEWORK_CACHE", str(shared))
    with recording() as lines:
        folder = build.cache_folder.__wrapped__()
    assert folder != shared and folder.stat().st_mode & 0o077 == 0
    assert lines == [
        f"kernels are not kept: {shared}: another user may write to it. Set GATEWORK_CACHE to a folder of your own."
    ]


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GATEWORK_CACHE", str(tmp_path / "file" / "cache"))
    with recording() as lines:
        folder = build.cache_folder.__wrapped__()
    assert folder.is_dir() and "Not a directory" in lines[0]


def test_a_folder_that_vanishes(cache: Path):
    shutil.rmtree(cache)
    with recording() as lines:
        assert forget(RNN(3, 5, backend="cpp"))(torch.zeros(4, 2, 3))[0].isfinite().all()
    assert "kernels are not kept" in lines[0] and "No such file or directory" in lines[0]


def test_a_read_only_folder(tmp_path: Path):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o500)
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:  # root may write anywhere, unless that right is taken away
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv (util-linux) to give up root's right to write anywhere")
        prefix = ("setpriv", "--bounding-set", "-dac_override")
    said = ends_well(start(folder, prefix=prefix))
    assert "kernels are not kept" in said and "Permission denied" in said
    assert list(folder.iterdir()) == []


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_no_compiler_on_the_machine(cache: Path, no_compiler: None, capsys: pytest.CaptureFixture):
    x, layer = torch.randn(4, 2, 3), forget(RNN(3, 5))
    with recording() as lines:
        y = layer(x)[0]
        layer(x)
    assert lines == [
        "rnn runs on the reference backend, a Python loop: "
        "no C++ compiler was found (g++, clang++ or $CXX); install one, such as Debian's g++."
    ]
    assert capsys.readouterr().err.count("no C++ compiler") == 1
    layer.backend = "reference"
    assert torch.equal(layer(x)[0], y)
    layer.backend = "cpp"
    with pytest.raises(build.BuildError, match="no C\\+\\+ compiler was found"):
        layer(x)


def test_a_compiler_that_fails(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    broken = tmp_path / "broken-c++"
    broken.write_text("#!/bin/sh\necho 'internal error: out of luck' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    layer = forget(RNN(3, 5))
    with recording() as lines:
        assert layer(torch.zeros(4, 2, 3))[0].isfinite().all()
    assert "out of luck" in lines[0] and "reference backend" in lines[0]
    layer.backend = "cpp"
    with pytest.raises(build.BuildError, match="broken-c\\+\\+ failed"):
        layer(torch.zeros(4, 2, 3))


def test_a_compiler_that_is_not_there_gives_way_to_one_that_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert build.compiler() is not None


def test_what_the_key_depends_on(monkeypatch: pytest.MonkeyPatch):
    lstm, key = find("lstm"), build.kernel_key(find("lstm"), torch.float32)
    assert build.kernel_key(lstm, torch.float32) == key
    others = [build.kernel_key(find("gru"), torch.float32), build.kernel_key(lstm, torch.float64)]
    monkeypatch.setattr(build, "machine", lambda: build.Machine(16, 16, (), "another"))
    others.append(build.kernel_key(lstm, torch.float32))
    assert len({key, *others}) == 4
    assert isinstance(kernel_or_refusal(lstm, torch.float16).reason, str)
