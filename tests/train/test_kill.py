"""kill -9 at any moment, also in the middle of a save: continued, the run ends with the same bits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gatework.run import Run

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(1200)  # processes are started, killed and waited for


def start(run: Run, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.train.killed", str(run.path), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )


def finish(run: Run) -> dict[str, torch.Tensor]:
    process = start(run)
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0 and "finished" in output, errors
    return run.read_tensors("model/weights.safetensors")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], list[float]]:
    run = Run.create("toy", tmp_path_factory.mktemp("whole"))
    weights = finish(run)
    return weights, [row["loss"] for row in run.read_jsonl("metrics.jsonl")]


def same(run: Run, expected: tuple[dict[str, torch.Tensor], list[float]]) -> None:
    weights = finish(run)
    assert weights.keys() == expected[0].keys()
    assert all(torch.equal(weights[name], expected[0][name]) for name in weights)
    assert [row["loss"] for row in run.read_jsonl("metrics.jsonl")] == expected[1]


@pytest.mark.parametrize("rename", [1, 2, 30])
def test_killed_inside_a_save(tmp_path: Path, uninterrupted, rename: int):
    run = Run.create("toy", tmp_path)
    process = start(run, str(rename))
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    same(run, uninterrupted)


def test_killed_at_random_moments(tmp_path: Path, uninterrupted):
    run = Run.create("toy", tmp_path)
    moments = random.Random(0)
    kills = 0
    for _ in range(3):
        process = start(run)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()  # "training"
        time.sleep(moments.uniform(0.02, 0.4))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=600)
        kills += process.returncode == -signal.SIGKILL
    assert kills, "every process was done before it could be killed: make the run longer"
    same(run, uninterrupted)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, uninterrupted):
    run = Run.create("toy", tmp_path)
    process = start(run)
    assert process.stdout is not None and process.stderr is not None
    lines = [process.stderr.readline() for _ in range(2)]  # two epochs are done
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert "epoch" in lines[0]
    assert process.returncode != 0
    assert f"Continue with: gatework resume {run.path}" in errors
    assert (run.path / "last" / "current.json").exists()
    same(run, uninterrupted)
