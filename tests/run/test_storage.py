"""Writing when the disk is full, read-only or forbidden: a StorageError that helps, and nothing half written."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gatework.errors import StorageError
from gatework.run import Run, durable

WRITE = """
import sys
from gatework.errors import StorageError
from gatework.run import Run
run = Run.open(sys.argv[1])
for name, data in (("model/weights.bin", b"n" * 500_000), ("log.txt", None)):
    try:
        if data is None:
            while True:
                run.append_text(name, "x" * 4000)
        run.write_bytes(name, data)
        print("written")
    except StorageError as error:
        print(error)
"""


def in_mount(options: str, folder: Path, script: str) -> list[str]:
    """What `script` prints about a run on a small disk of its own; skipped where none may be mounted."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare to mount a small disk")
    commands = f"""
        mount -t tmpfs -o size=200k none {folder} || exit 77
        {sys.executable} -c 'import sys; from gatework.run import Run; r = Run.create("forecaster", sys.argv[1])
r.write_bytes("model/weights.bin", b"old")' {folder} || exit 1
        {f"mount -o remount,{options} {folder} || exit 77" if options else ""}
        {sys.executable} -c "$SCRIPT" {folder}/forecaster-001 || exit 1
        cat {folder}/forecaster-001/model/weights.bin; echo
        ls -A {folder}/forecaster-001 {folder}/forecaster-001/model
    """
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", commands], capture_output=True, text=True, env={**os.environ, "SCRIPT": script}
    )
    if result.returncode == 77 or "unshare" in result.stderr:
        pytest.skip("needs the right to mount a small disk")
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_full_disk(tmp_path):
    weights, log, content, *files = in_mount("", tmp_path, WRITE)
    assert "weights.bin could not be written: No space left on device" in weights
    assert "MB are free there. Free some space" in weights
    assert "log.txt could not be written: No space left" in log
    assert content == "old"
    assert not [name for name in files if durable.TEMPORARY_PREFIX in name]


def test_a_read_only_disk(tmp_path):
    weights, log, content, *_ = in_mount("ro", tmp_path, WRITE)
    assert "weights.bin could not be written: Read-only file system" in weights
    assert "folder that this user may write is needed" in weights
    assert "log.txt could not be written: Read-only" in log
    assert content == "old"


@pytest.mark.parametrize("call", ["fsync", "open", "rename"])
@pytest.mark.parametrize(
    ("number", "mend"),
    [(errno.ENOSPC, "Free some space"), (errno.EDQUOT, "Free some space"), (errno.EACCES, "change its permissions"),
     (errno.EROFS, "choose another folder"), (errno.EIO, "untouched")],
)  # fmt: skip
def test_each_failing_call_leaves_the_old_file(tmp_path, monkeypatch, call, number, mend):
    path = tmp_path / "weights"
    durable.write(path, b"old")

    def fail(*arguments, **keywords):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        if call == "rename":
            patch.setattr(Path, "replace", fail)
        else:
            patch.setattr(os, call, fail)
        with pytest.raises(StorageError, match=mend) as caught:
            durable.write(path, b"new")
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["weights"]


def test_a_failed_append_is_taken_back(tmp_path, monkeypatch):
    path = tmp_path / "log.txt"
    durable.append(path, b"one\n")
    write, calls = os.write, []

    def half(descriptor, data):
        calls.append(len(data))
        if len(calls) == 1:
            return write(descriptor, bytes(data)[:2])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(StorageError):
        durable.append(path, b"two\n")
    assert path.read_bytes() == b"one\n"


def test_leftovers_of_killed_writers_are_swept(tmp_path):
    run = Run.create("forecaster", tmp_path)
    (run.path / f"{durable.TEMPORARY_PREFIX}abc").write_bytes(b"half")
    with run.lock():
        assert [path.name for path in run.path.iterdir() if "tmp" in path.name] == []


@pytest.mark.parametrize("name", ["missing/deep/file", "folder"])
def test_a_folder_that_is_not_there_or_in_the_way(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"make it, or choose another|A folder of this name is in the way"):
        durable.write(tmp_path / name, b"x")
    assert not list(tmp_path.glob(f"{durable.TEMPORARY_PREFIX}*"))
