"""A fit that is killed and resumed ends like one that was not: weights, metrics, forecasts."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import torch

from gatework.errors import ArtefactError
from gatework.run import Run
from gatework.tasks import load, resume
from tests.processes import Started
from tests.tasks.small import seasonal
from tests.tasks.trains import train

pytestmark = pytest.mark.timeout(1200)  # processes are started, killed and waited for
WEIGHTS = "model/weights.safetensors"


def start(data: Path, runs: Path, *more: int) -> Started:
    return Started(runs / "said.txt", train, data, runs, *more)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "series.csv"
    seasonal(series=4, length=120).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Run:
    runs = tmp_path_factory.mktemp("whole")
    code, said = start(data, runs).ended()
    assert code == 0, said
    assert "\r" not in said and "\x1b" not in said, "a log that is no terminal has no control characters"
    return Run.open(runs / "forecaster-001")


@pytest.mark.parametrize(("epochs", "how"), [(2, signal.SIGKILL), (17, signal.SIGKILL), (4, signal.SIGINT)])
def test_resumed_equals_uninterrupted(tmp_path: Path, data: Path, uninterrupted: Run, epochs: int, how: signal.Signals):
    code, said = start(data, tmp_path, epochs, how).ended()
    assert code != 0
    assert sum("loss" in line for line in said.splitlines()) >= epochs
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
    while "loss" not in process.said() and process.alive:
        time.sleep(0.01)
    process.signal(signal.SIGSTOP)  # it cannot be done before this process has asked
    with pytest.raises(ArtefactError, match=str(process.number)):
        resume(tmp_path / "forecaster-001")
    process.signal(signal.SIGKILL)
    process.ended()
