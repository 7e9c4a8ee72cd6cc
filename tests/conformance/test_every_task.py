"""What every application must do, on its own synthetic sample; the applications are found by scan."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from gatework.errors import ConfigError, InputError
from gatework.run import write_frame
from gatework.run.checkpoint import Checkpoint
from gatework.say import quiet
from gatework.tasks import load, resume, task, tasks
from gatework.tasks.base import CONFIG, MODEL, WEIGHTS, Task
from tests.tasks.quick import QUICK

pytestmark = pytest.mark.usefixtures("painted_once")

TASKS = list(tasks())
SOURCE = Path(sys.modules["gatework.tasks"].__file__ or "").parent


@dataclass
class Fitted:
    """An application fitted on its own sample, as a file."""

    model: Task
    sample: Any
    file: Path


def new(name: str, folder: Path, **settings: Any) -> Task:
    return task(name)(**{**QUICK.get(name, {}), "runs": str(folder), "checkpoint_seconds": 0, **settings})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Fitted]:
    known: dict[str, Fitted] = {}

    def make(name: str) -> Fitted:
        if name not in known:
            folder = tmp_path_factory.mktemp(name)
            sample = task(name).synthesise(seed=0)
            file = folder / f"sample{task(name).sample}"
            write_frame(file, sample)
            with quiet():
                known[name] = Fitted(new(name, folder).fit(file), sample, file)
        return known[name]

    return make


def weights(run: Path) -> bytes:
    return (run / WEIGHTS).read_bytes()


def same(one: pd.DataFrame, other: pd.DataFrame, tolerance: float = 0.0) -> None:
    pd.testing.assert_frame_equal(one, other, check_exact=not tolerance, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", TASKS)
def test_an_application_is_one_readable_file(name: str):
    text = (SOURCE / f"{name.replace('-', '_')}.py").read_text(encoding="utf-8")
    assert text.count("\n") <= 250


@pytest.mark.parametrize("name", TASKS)
def test_class_and_settings_need_no_torch(name: str):
    code = (
        "import sys; from gatework.tasks import task; from gatework.tasks.config import to_yaml\n"
        f"to_yaml(task({name!r}).Config); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", TASKS)
def test_sample_is_the_same_for_a_seed_and_another_for_another(name: str):
    kind = task(name)
    same(kind.synthesise(seed=3), kind.synthesise(seed=3))
    assert not kind.synthesise(seed=3).equals(kind.synthesise(seed=4))


@pytest.mark.parametrize("name", TASKS)
def test_run_holds_everything_and_pictures(fitted, name: str):
    run = fitted(name).model.run_
    files = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert {CONFIG, "run.json", "metrics.jsonl", "log.txt", WEIGHTS, MODEL, "README.md", "evaluation.json"} <= files
    pictures = [path for path in files if path.endswith(".png")]
    assert "plots/learning_curve.png" in pictures and len(pictures) >= 2
    assert all((run.path / path).with_suffix(".json").is_file() for path in pictures)
    assert run.facts["status"] == "finished" and run.facts["score"] and run.facts["baselines"]
    card = run.read_text("README.md")
    assert "| metric | model |" in card and str(fitted(name).file) in card


@pytest.mark.parametrize("name", TASKS)
def test_loaded_predicts_as_fitted(fitted, name: str):
    here = fitted(name)
    loaded = load(here.model.run_.path)
    same(loaded.predict(here.file), here.model.predict(here.file))
    with pytest.raises(InputError, match="not trained yet"):
        task(name)().predict(here.file)


@pytest.mark.parametrize("name", TASKS)
def test_a_frame_predicts_as_its_file(fitted, name: str):
    here = fitted(name)
    if here.file.suffix == ".txt":
        pytest.skip("a .txt file is one text, a frame one a row")
    same(here.model.predict(here.sample), here.model.predict(here.file), 1e-6)  # numbers pass through text


@pytest.mark.parametrize("name", TASKS)
def test_a_batch_of_one_is_its_row_in_a_batch_of_many(fitted, name: str):
    """To float32: a product of other size adds up in another order."""
    here = fitted(name)
    key = next((column for column in ("unique_id", "sentence") if column in here.sample), None)
    groups = [part for _, part in here.sample.groupby(key, sort=False)] if key else None
    parts = groups or [here.sample.iloc[[row]] for row in range(len(here.sample))]
    chosen = [parts[0], parts[len(parts) // 2], parts[-1]]
    many = here.model.predict(pd.concat(chosen, ignore_index=True))
    alone = [here.model.predict(part.reset_index(drop=True)) for part in chosen]
    numbers = many.select_dtypes("number").columns
    one = pd.concat(alone, ignore_index=True)
    assert len(one) == len(many)
    for column in numbers:
        if column not in ("sentence", "row", "text"):  # where a row came from, not what was predicted
            assert torch.allclose(
                torch.tensor(one[column].to_numpy(float)), torch.tensor(many[column].to_numpy(float)), 1e-4, 1e-5
            ), column


@pytest.mark.parametrize("name", TASKS)
def test_the_same_seed_gives_the_same_weights(fitted, tmp_path: Path, name: str):
    here = fitted(name)
    with quiet():
        again = new(name, tmp_path).fit(here.file)
    assert weights(again.run_.path) == weights(here.model.run_.path)


@pytest.mark.parametrize("name", TASKS)
def test_stopped_and_resumed_ends_like_one_that_was_not(fitted, tmp_path: Path, monkeypatch, name: str):
    """Stopped right after a checkpoint in the middle of an epoch, as Ctrl-C would."""
    here = fitted(name)
    saved, save = [], Checkpoint.save

    def stop(self: Checkpoint, state: Any) -> None:
        save(self, state)
        saved.append(state)
        if len(saved) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, quiet():
        patched.setattr(Checkpoint, "save", stop)
        with pytest.raises(KeyboardInterrupt):
            new(name, tmp_path).fit(here.file)
    (run,) = tmp_path.glob(f"{name}-*")
    assert not (run / WEIGHTS).exists()
    with quiet():
        resume(run)
    assert weights(run) == weights(here.model.run_.path)


@pytest.mark.parametrize("name", TASKS)
def test_a_held_out_part_is_taken_or_refused(fitted, tmp_path: Path, name: str):
    here = fitted(name)
    if not task(name).takes_validation:
        with pytest.raises(ConfigError, match="holds out"):
            new(name, tmp_path).fit(here.file, validation=here.file)
        return
    with quiet():
        model = new(name, tmp_path).fit(here.sample, validation=here.file)
    assert model.run_.facts["data"]["validation"] == str(here.file)
    assert model.evaluation_ is not None


@pytest.mark.parametrize("name", TASKS)
def test_evaluate_stands_beside_baselines_and_is_kept(fitted, name: str):
    here = fitted(name)
    evaluation = here.model.evaluate(here.file)
    assert evaluation.baselines and set(evaluation.skill) <= set(evaluation.scores)
    for metric in evaluation.larger:
        assert 0 <= evaluation.scores.get(metric, 0) <= 1
    assert (here.model.run_.path / "evaluations/001/evaluation.json").is_file()


@pytest.mark.parametrize("name", TASKS)
def test_any_cell_trains(fitted, tmp_path: Path, name: str):
    with quiet():
        model = new(name, tmp_path, cell="gru").fit(fitted(name).file)
    assert model.config_.model.cell == "gru" and model.evaluation_ is not None
