"""The exact-resume checkpoint: everything comes back equal, and kill -9 at any moment leaves one whole checkpoint."""

import json
import math
import os
import random
import signal
import time

import pytest
import torch

from gatework.errors import ArtefactError, StorageError
from gatework.run import Run, durable


@pytest.fixture
def run(tmp_path):
    return Run.create("forecaster", tmp_path)


def test_no_checkpoint_is_none(run):
    assert run.checkpoint.load() is None


def test_an_optimizer_comes_back_equal(run):
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
    state = {
        "net": dict(net.state_dict()),
        "optimizer": optimizer.state_dict(),
        "generator": torch.get_rng_state(),
        "best": math.inf,
        "losses": [0.1, -math.inf, 1e-300, 2**60, True, None, "text"],
        "tuple": (1, (2.5, "a")),
        3: "integer key",
        "tensor": "0",
    }
    run.checkpoint.save(state)
    back = Run.open(run.path).checkpoint.load()
    assert str(back) == str(state)
    assert torch.equal(back["net"]["weight"], net.weight)
    assert torch.equal(back["generator"], state["generator"])
    assert type(back["tuple"]) is tuple
    other = torch.optim.AdamW(net.parameters(), lr=0.5)
    other.load_state_dict(back["optimizer"])
    assert torch.equal(other.state_dict()["state"][0]["exp_avg_sq"], optimizer.state_dict()["state"][0]["exp_avg_sq"])
    assert other.param_groups[0]["betas"] == (0.9, 0.999)


def test_nan_comes_back(run):
    run.checkpoint.save({"loss": math.nan})
    assert math.isnan(run.checkpoint.load()["loss"])


@pytest.mark.parametrize("value", [{1, 2}, object(), 1j, b"bytes", torch.nn.Linear])
def test_what_a_checkpoint_cannot_hold_is_named(run, value):
    run.checkpoint.save({"step": 1})
    with pytest.raises(TypeError, match=r"state\['a'\]\[0\] is a"):
        run.checkpoint.save({"a": [value]})
    assert run.checkpoint.load() == {"step": 1}


def test_only_the_last_generation_is_kept(run):
    for step in range(5):
        run.checkpoint.save({"step": step})
    assert run.checkpoint.load() == {"step": 4}
    assert sorted(path.name for path in (run.path / "last").iterdir()) == [
        "00000005.json",
        "00000005.safetensors",
        "current.json",
    ]


@pytest.mark.parametrize("suffix", ["json", "safetensors"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_changed_file_is_refused(run, suffix, damage):
    run.checkpoint.save({"w": torch.arange(10.0), "step": 1})
    path = run.path / "last" / f"00000001.{suffix}"
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[:-1])
    else:
        data[-3] ^= 1
        path.write_bytes(data)
    with pytest.raises(ArtefactError, match=r"missing|not the file that was saved"):
        run.checkpoint.load()


@pytest.mark.parametrize("pointer", ['{"format": 1}', '{"format": 1, "generation": "x", "sha256": {}}', "{", "[]"])
def test_a_damaged_pointer_is_refused(run, pointer):
    run.checkpoint.save({"step": 1})
    (run.path / "last" / "current.json").write_text(pointer)
    with pytest.raises(ArtefactError, match=r"current\.json"):
        run.checkpoint.load()


def test_an_entry_that_gatework_does_not_write(run):
    import hashlib

    run.checkpoint.save({"step": 1})
    state = json.dumps({"format": 1, "state": {"pickle": "x"}}).encode()
    folder = run.path / "last"
    (folder / "00000001.json").write_bytes(state)
    pointer = json.loads((folder / "current.json").read_text())
    pointer["sha256"]["00000001.json"] = hashlib.sha256(state).hexdigest()
    (folder / "current.json").write_text(json.dumps(pointer))
    with pytest.raises(ArtefactError, match="holds an entry"):
        run.checkpoint.load()


def test_a_failed_save_keeps_the_earlier_one(run, monkeypatch):
    run.checkpoint.save({"step": 1})
    write = durable.write
    for failing in range(3):  # either of the two files, then the pointer
        calls = []

        def fail(path, data, failing=failing, calls=calls):
            calls.append(path)
            if len(calls) == failing + 1:
                raise StorageError("full")
            write(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(durable, "write", fail)
            with pytest.raises(StorageError):
                run.checkpoint.save({"step": 2})
        assert run.checkpoint.load() == {"step": 1}
    run.checkpoint.save({"step": 3})
    assert run.checkpoint.load() == {"step": 3}


def save_forever(run: Run, report: int) -> None:
    """Save checkpoints of growing and shrinking size until killed; say each one that is saved."""
    step = run.checkpoint.load()["step"]
    while True:
        step += 1
        run.checkpoint.save({"step": step, "w": torch.full((1 + step % 7 * 5000,), float(step))})
        os.write(report, f"{step}\n".encode())


def test_kill_9_at_any_moment_leaves_a_whole_checkpoint(run):
    """Forty processes are killed while saving; after each, the checkpoint is the last one said or the one after it."""
    run.checkpoint.save({"step": 0, "w": torch.zeros(1)})
    chance = random.Random(0)
    between = 0
    for _ in range(40):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            save_forever(run, writer)
        os.close(writer)
        os.read(reader, 1)  # it has begun
        time.sleep(chance.uniform(0.0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        said = b""
        while piece := os.read(reader, 65536):
            said += piece
        os.close(reader)
        state = run.checkpoint.load()
        assert torch.equal(state["w"], torch.full_like(state["w"], float(state["step"])))
        last_said = int(said.split()[-1]) if b"\n" in said[:-1] else None
        if last_said is not None:
            assert state["step"] in (last_said, last_said + 1)
        leftovers = {path.name for path in (run.path / "last").iterdir()} - {"current.json"}
        between += len(leftovers) > 2
    assert between > 0, "no kill came in the middle of a save; this test shows nothing"
