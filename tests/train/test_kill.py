"""kill -9 at any moment, also in the middle of a save: continued, the run ends with the same bits."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
import torch

from gatework.run import Run
from tests.processes import Started
from tests.train.killed import train

pytestmark = pytest.mark.timeout(1200)  # processes are started, killed and waited for


def ended(run: Run, *moment: str | float) -> tuple[int, str]:
    said = run.path / "said.txt"
    said.unlink(missing_ok=True)
    return Started(said, train, run.path, *moment).ended()


def finish(run: Run) -> dict[str, torch.Tensor]:
    code, said = ended(run)
    assert code == 0 and "finished" in said, said
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
    code, _ = ended(run, "rename", rename)
    assert code == -signal.SIGKILL
    same(run, uninterrupted)


def test_killed_at_random_moments(tmp_path: Path, uninterrupted):
    run = Run.create("toy", tmp_path)
    moments = random.Random(0)
    kills = 0
    for _ in range(3):
        code, _ = ended(run, "seconds", moments.uniform(0.02, 0.4))
        kills += code == -signal.SIGALRM
    assert kills, "every process was done before it could be killed: make the run longer"
    same(run, uninterrupted)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, uninterrupted):
    run = Run.create("toy", tmp_path)
    code, said = ended(run, "row", 2)
    assert code > 0 and said.startswith("epoch")
    assert f"Continue with: gatework resume {run.path}" in said
    assert (run.path / "last" / "current.json").exists()
    same(run, uninterrupted)
