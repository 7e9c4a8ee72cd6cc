"""A fit that is killed and resumed ends like one that was not: weights, metrics, forecasts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from gatework.errors import ArtefactError
from gatework.run import Run
from gatework.tasks import load, resume
from tests.tasks.small import seasonal

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(1200)  # processes are started, killed and waited for
WEIGHTS = "model/weights.safetensors"


def start(data: Path, runs: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.tasks.trains", str(data), str(runs)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment)


def killed_after(lines: int, data: Path, runs: Path, how: signal.Signals) -> tuple[int, str]:
    """The exit code and everything said, of a fit that gets the signal after `lines` epochs."""
    process = start(data, runs)
    assert process.stderr is not None
    said = []
    while sum("loss" in line for line in said) < lines:
        said.append(process.stderr.readline())
        assert said[-1], "".join(said)
    time.sleep(0.05)
    process.send_signal(how)
    _, rest = process.communicate(timeout=600)
    return process.returncode, "".join(said) + rest


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "series.csv"
    seasonal(series=4, length=120).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Run:
    runs = tmp_path_factory.mktemp("whole")
    process = start(data, runs)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "\r" not in said and "\x1b" not in said, "a log that is no terminal has no control characters"
    return Run.open(runs / "forecaster-001")


@pytest.mark.parametrize(("epochs", "how"), [(2, signal.SIGKILL), (17, signal.SIGKILL), (4, signal.SIGINT)])
def test_resumed_equals_uninterrupted(tmp_path: Path, data: Path, uninterrupted: Run, epochs: int, how: signal.Signals):
    code, said = killed_after(epochs, data, tmp_path, how)
    assert code != 0
    run = Run.open(tmp_path / "forecaster-001")
    if how == signal.SIGINT:
        assert f"Continue with: gatework resume {run.path}" in said and run.facts["status"] == "stopped"
    with pytest.raises(ArtefactError, match=f"gatework resume {run.path}"):
        load(run.path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = resume(run.path)
    torch.set_num_threads(threads)
    expected, got = uninterrupted.read_tensors(WEIGHTS), model.run_.read_tensors(WEIGHTS)
    assert expected.keys() == got.keys() and all(torch.equal(expected[name], got[name]) for name in expected)
    losses = [[row["loss"] for row in one.read_jsonl("metrics.jsonl")] for one in (uninterrupted, model.run_)]
    assert losses[0] == losses[1] and len(losses[0]) == 22
    assert model.run_.facts["score"] == uninterrupted.facts["score"]
    assert resume(run.path).run_.facts["status"] == "finished"  # said, and loaded


def test_another_process_may_not_train_the_same_run(tmp_path: Path, data: Path, uninterrupted: Run):
    process = start(data, tmp_path)
    assert process.stderr is not None
    while "loss" not in process.stderr.readline():
        pass
    with pytest.raises(ArtefactError, match=str(process.pid)):
        resume(tmp_path / "forecaster-001")
    process.kill()
    process.communicate()
