"""The run folder: numbering, facts, files of each kind, listing, lock."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from gatework.errors import ArtefactError, InputError, StorageError
from gatework.run import Run, list_runs, write_frame


def test_runs_are_numbered_and_never_reused(tmp_path):
    first, second = Run.create("forecaster", tmp_path / "runs"), Run.create("forecaster", tmp_path / "runs")
    assert (first.name, second.name) == ("forecaster-001", "forecaster-002")
    (tmp_path / "runs" / "forecaster-017").mkdir()
    (tmp_path / "runs" / "forecaster-0x9").mkdir()
    assert Run.create("forecaster", tmp_path / "runs").name == "forecaster-018"
    assert Run.create("tagger", tmp_path / "runs").name == "tagger-001"


def test_a_number_taken_in_between_is_skipped(tmp_path, monkeypatch):
    """Another process makes the folder after the highest number was looked up."""
    original = os.mkdir
    taken = []

    def mkdir(path, *arguments, **keywords):
        if str(path).endswith("forecaster-001") and not taken:
            taken.append(path)
            original(path)
        return original(path, *arguments, **keywords)

    monkeypatch.setattr(os, "mkdir", mkdir)
    assert Run.create("forecaster", tmp_path).name == "forecaster-002"


def test_facts_say_what_it_was_made_with(tmp_path):
    run = Run.create("forecaster", tmp_path, seed=3)
    run.record(status="finished", score={"mae": 1.5}, decisions=["frequency: D"])
    facts = json.loads((run.path / "run.json").read_text())
    assert facts["format"] == 1
    assert facts["task"] == "forecaster"
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["hardware"]["cores"] == os.cpu_count()
    assert (facts["seed"], facts["status"], facts["score"]) == (3, "finished", {"mae": 1.5})
    assert Run.open(run.path).facts == run.facts


def test_the_git_commit_is_recorded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run(["git", "init", "-q"], check=True, env=environment)
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "x"], check=True, env=environment)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert Run.create("forecaster").facts["git"] == {"commit": commit, "dirty": False}


def test_files_of_each_kind_come_back(tmp_path):
    run = Run.create("forecaster", tmp_path)
    run.write_json("model/schema.json", {"a": [1, None, "é"]})
    assert run.read_json("model/schema.json") == {"a": [1, None, "é"]}
    run.write_text("README.md", "# card\n")
    assert run.read_text("README.md") == "# card\n"
    run.write_bytes("plots/curve.png", b"\x89PNG")
    assert run.has("plots/curve.png")
    assert not run.has("plots/other.png")
    run.append_text("log.txt", "one\n")
    run.append_text("log.txt", "two")
    assert run.read_text("log.txt") == "one\ntwo\n"


def test_tensors_come_back_whatever_memory_they_shared(tmp_path):
    run = Run.create("forecaster", tmp_path)
    base = torch.arange(12.0).view(3, 4)
    tensors = {
        "base": base,
        "view": base[:, 1:3],
        "transposed": base.t(),
        "empty": torch.empty(0, 5),
        "scalar": torch.tensor(2, dtype=torch.int64),
        "half": torch.tensor([1.5], dtype=torch.bfloat16),
        "bool": torch.tensor([True, False]),
    }
    run.write_tensors("model/weights.safetensors", tensors, {"cell": "lstm"})
    back = run.read_tensors("model/weights.safetensors", tensors)
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor)
        assert back[name].dtype == tensor.dtype


def test_a_torn_last_line_is_left_out(tmp_path):
    run = Run.create("forecaster", tmp_path)
    assert run.read_jsonl("metrics.jsonl") == []
    run.append_jsonl("metrics.jsonl", {"step": 1})
    run.append_jsonl("metrics.jsonl", {"step": 2})
    with run.path_of("metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 3, "lo')
    assert run.read_jsonl("metrics.jsonl") == [{"step": 1}, {"step": 2}]
    run.write_jsonl("metrics.jsonl", [{"step": 1}])
    run.append_jsonl("metrics.jsonl", {"step": 2})
    assert [row["step"] for row in run.read_jsonl("metrics.jsonl")] == [1, 2]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_without_a_word_for_nan_refuses_it(tmp_path, value):
    run = Run.create("forecaster", tmp_path)
    run.write_json("a.json", {"x": 1})
    with pytest.raises(ValueError):
        run.write_json("a.json", {"x": value})
    assert run.read_json("a.json") == {"x": 1}


FRAME = {"unique_id": ["a", "b"], "ds": pd.to_datetime(["2024-01-31", "2024-02-29"]), "y_hat": [1.5, np.nan]}
KINDS = {
    "pandas": pd.DataFrame(FRAME),
    "polars": pl.DataFrame({**FRAME, "ds": FRAME["ds"].to_numpy()}),
    "arrow": pa.Table.from_pandas(pd.DataFrame(FRAME), preserve_index=False),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv", "jsonl", "jsonl.gz", "parquet"])
def test_tables_of_each_kind_and_format(tmp_path, kind, ending):
    path = tmp_path / f"out.{ending}"
    write_frame(path, KINDS[kind])
    if ending == "parquet":
        back = pyarrow.parquet.read_table(path).to_pandas()
    elif "jsonl" in ending:
        back = pd.read_json(path, lines=True)
    else:
        back = pd.read_csv(path, sep="\t" if ending == "tsv" else ",")
    assert list(back.columns) == ["unique_id", "ds", "y_hat"]
    assert list(back["unique_id"]) == ["a", "b"]
    assert list(pd.to_datetime(back["ds"])) == list(FRAME["ds"])
    assert back["y_hat"][0] == 1.5
    assert np.isnan(back["y_hat"][1])


def test_a_link_goes_on_pointing_to_its_file(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    write_frame(tmp_path / "link.csv", KINDS["pandas"])
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("unique_id,ds,y_hat")


def test_an_unknown_ending_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"out\.xlsx.*choose one of \.csv"):
        write_frame(tmp_path / "out.xlsx", KINDS["pandas"])
    assert list(tmp_path.iterdir()) == []


def test_listing(tmp_path):
    assert list_runs(tmp_path / "none") == []
    good = Run.create("forecaster", tmp_path)
    good.record(status="finished", score={"mae": 2.0})
    broken = Run.create("forecaster", tmp_path)
    (broken.path / "run.json").write_text("{")
    (tmp_path / "notes").mkdir()
    first, second = list_runs(tmp_path)
    assert (first.name, first.status, first.score, first.problem) == ("forecaster-001", "finished", {"mae": 2.0}, None)
    assert "not JSON" in second.problem


def test_listing_does_not_import_torch(tmp_path):
    Run.create("forecaster", tmp_path)
    code = "import sys; from gatework.run import list_runs; print(len(list_runs(sys.argv[1])), 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code, tmp_path], check=True, capture_output=True, text=True).stdout
    assert out.split() == ["1", "False"]


LOCK_AND_WAIT = """
import sys, time
from gatework.run import Run
with Run.open(sys.argv[1]).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_process_trains_a_run_and_a_killed_one_frees_it(tmp_path):
    run = Run.create("forecaster", tmp_path)
    holder = subprocess.Popen([sys.executable, "-c", LOCK_AND_WAIT, run.path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ArtefactError, match=f"being trained by process {holder.pid}"), run.lock():
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with run.lock():
            pass
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()


def test_forked_children_do_not_keep_a_dead_trainers_lock(tmp_path):
    """A data loader's worker that outlives its killed parent must not hold the run."""
    run = Run.create("forecaster", tmp_path)
    code = LOCK_AND_WAIT.replace(
        "time.sleep(60)", "import os\n    if os.fork() == 0: time.sleep(8); os._exit(0)\n    time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, run.path], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        time.sleep(0.2)
        holder.kill()
        holder.wait()
        with run.lock():
            pass
    finally:
        holder.stdout.close()


def test_the_root_must_be_usable(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError, match="runs"):
        Run.create("forecaster", tmp_path / "runs")
