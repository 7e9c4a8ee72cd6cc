"""Ctrl-C in `gatework fit`: a real signal to a process, what it leaves, and a run that goes on as if nothing were."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from gatework.cli.main import INTERRUPTED, main
from gatework.run import Run
from tests.processes import Started

FLAGS = ["--hidden-size", "8", "--embedding-size", "8", "--max-epochs", "3", "--batch-size", "8", "--members", "1"]
WEIGHTS = "model/weights.safetensors"


def stopped_after(epoch: int, folder: Path, words: list[str]) -> None:
    """`gatework WORDS...` in `folder`; the process sends itself SIGINT when so many epochs are done."""
    append = Run.append_jsonl

    def counted(self: Run, name: str, row: dict[str, Any]) -> None:
        append(self, name, row)
        if row.get("epoch") == epoch:
            os.kill(os.getpid(), signal.SIGINT)

    Run.append_jsonl = counted
    os.chdir(folder)
    sys.exit(main(words))


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
@pytest.mark.usefixtures("one_thread")
def test_a_tagger_is_stopped_and_goes_on_as_if_it_had_not_been(gatework, tmp_path: Path):
    data = tmp_path / "data.conll"
    data.write_text("Anna\tB-PERSON\nwent\tO\nto\tO\nOslo\tB-PLACE\n\nOslo\tB-PLACE\nis\tO\nred\tO\n\n" * 20)
    words = ["fit", "sequence-tagger", str(data), *FLAGS]
    code, said = Started(tmp_path / "said.txt", stopped_after, 1, tmp_path, words).ended()
    assert code == INTERRUPTED, said
    assert "the state is saved. Continue with: gatework resume runs/sequence-tagger-001" in said
    assert "Traceback" not in said
    run = Run.open(tmp_path / "runs/sequence-tagger-001")
    assert run.facts["status"] == "stopped" and len(run.read_jsonl("metrics.jsonl")) == 1
    refused = gatework("predict", run.path, data)
    assert refused.code == 2 and "gatework resume" in refused.err
    assert gatework("resume", run.path).code == 0
    assert gatework(*words).code == 0
    whole = Run.open(tmp_path / "runs/sequence-tagger-002")
    losses = [[row["loss"] for row in one.read_jsonl("metrics.jsonl")] for one in (whole, run)]
    assert losses[0] == losses[1] and len(losses[0]) == 3
    expected, found = whole.read_tensors(WEIGHTS), run.read_tensors(WEIGHTS)
    assert expected.keys() == found.keys() and all(torch.equal(expected[name], found[name]) for name in expected)
