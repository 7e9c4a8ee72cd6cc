"""Every verb on every task, and each verb's word is the same in Python."""

import inspect
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import gatework as package
from gatework.cli.main import verbs
from gatework.errors import ConfigError
from gatework.tasks import resume, task, tasks

TASKS = list(tasks())


@pytest.mark.parametrize("verb", list(verbs()))
def test_every_verb_has_help(gatework, verb):
    result = gatework(verb, "--help")
    assert result.code == 0
    assert result.out.startswith(f"usage: gatework {verb}")
    assert verbs()[verb].__doc__.splitlines()[0] in result.out


def test_help_lists_every_verb(gatework):
    listed = re.findall(r"^  (\w+)  +\S", gatework("--help").out, re.MULTILINE)
    assert listed == list(verbs())
    assert gatework().out == gatework("help").out == gatework("--help").out


def test_version(gatework):
    assert gatework("--version").out.strip() == package.__version__


@pytest.mark.parametrize("name", TASKS)
def test_predict_writes_the_table_that_it_prints(gatework, fitted, tmp_path: Path, name):
    model = fitted(name)
    printed = gatework("predict", model.run, model.data)
    assert printed.code == 0, printed.err
    for ending in (".csv", ".csv.gz", ".jsonl", ".parquet"):
        written = gatework("predict", model.run, model.data, "-o", tmp_path / f"out{ending}")
        assert (written.code, written.out) == (0, ""), written.err
    assert (tmp_path / "out.csv").read_text().split() == printed.out.split()
    table = pd.read_csv(io.StringIO(printed.out))
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == len(table) > 0


@pytest.mark.parametrize("name", TASKS)
def test_evaluate_prints_the_baseline_beside_the_model(gatework, fitted, name):
    model = fitted(name)
    result = gatework("evaluate", model.run, model.data)
    assert result.code == 0, result.err
    head = result.out.splitlines()[1].split("  ")
    assert [head[0], head[-1].strip()] == ["metric", "skill"]
    assert len([name for name in head if name]) >= 4, "a baseline stands beside the model"


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("verb", ["evaluate", "predict"])
def test_help_of_a_run_lists_the_options_of_its_application(gatework, fitted, name, verb):
    from gatework.cli.parameters import flags

    text = gatework(verb, fitted(name).run, "--help").out
    for flag in flags(getattr(task(name), verb)):
        assert re.search(rf"{flag}\b.*\n?.*\w", text), flag


def test_an_option_of_the_application_reaches_it(gatework, fitted):
    model = fitted("forecaster")
    assert "2 windows each" in gatework("evaluate", model.run, model.data, "--windows", "2").out
    refused = gatework("evaluate", model.run, model.data, "--window", "2")
    assert refused.code == 2
    assert "--windows" in refused.err


@pytest.mark.parametrize("name", TASKS)
def test_resume_of_a_finished_run_says_so_and_changes_nothing(gatework, fitted, name):
    model = fitted(name)
    weights = {path: path.read_bytes() for path in model.run.rglob("*.safetensors")}
    result = gatework("resume", model.run)
    assert result.code == 0, result.err
    assert "finished" in result.err
    assert weights
    assert all(path.read_bytes() == content for path, content in weights.items())


@pytest.mark.parametrize("name", TASKS)
def test_runs_lists_the_run(gatework, fitted, name):
    model = fitted(name)
    for order in ("score", "created", "name"):
        result = gatework("runs", model.run.parent, "--sort", order)
        row = next(line for line in result.out.splitlines() if line.startswith(model.run.name))
        assert name in row
        assert "finished" in row


@pytest.mark.parametrize("name", TASKS)
def test_config_is_yaml_that_fit_takes(gatework, fitted, tmp_path: Path, name):
    printed = gatework("config", name)
    (tmp_path / "run.yaml").write_text(printed.out)
    values = yaml.safe_load(printed.out)
    schema = json.loads(gatework("config", name, "--schema").out)
    assert set(values) == set(schema["properties"])


def test_a_yaml_file_and_flags_say_the_same(gatework, fitted, tmp_path: Path):
    """Flags win over the file; the resolved configuration of the run holds both."""
    model = fitted("forecaster")
    (tmp_path / "run.yaml").write_text("horizon: 3\nseed: 7\nmax_epochs: 1\npreset: fast\n")
    result = gatework("fit", "forecaster", model.data, "--config", "run.yaml", "--horizon", "4")
    assert result.code == 0, result.err
    resolved = (tmp_path / result.out.strip() / "config.yaml").read_text()
    assert re.search(r"^\s*horizon: 4\b", resolved, re.MULTILINE)
    assert re.search(r"^\s*seed: 7\b", resolved, re.MULTILINE)


@pytest.mark.parametrize("name", TASKS)
def test_fit_help_lists_every_setting(gatework, name):
    from gatework.tasks.setting import fields

    text = gatework("fit", name, "--help").out
    for field in fields(task(name).Config):
        assert f"--{field.name.replace('_', '-')}" in text, field.name


def test_tasks_and_cells_are_listed(gatework):
    assert [line.split()[0] for line in gatework("tasks").out.splitlines()] == TASKS
    cells = gatework("cells").out
    names = {line.split(" ")[0] for line in cells.splitlines()}
    assert {"cifg", "gru", "janet", "lstm", "peephole-lstm", "rnn"} <= names
    assert "Source: Gers" in cells


def test_explain_shows_the_source_of_shipped_and_own_cells(gatework, tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "from torch import sigmoid, tanh\n"
        "from gatework import Cell\n"
        "class Leaky(Cell):\n"
        "    state = 'h'\n"
        "    gates = 'f', 'g'\n"
        "    def step(self, x, s, U):\n"
        "        f = sigmoid(x.f + U.f @ s.h)\n"
        "        return f * s.h + (1 - f) * tanh(x.g + U.g @ s.h)\n"
    )
    for cell in ("peephole-lstm", "mine.py:Leaky"):
        result = gatework("explain", cell, "--hidden-size", "24")
        assert result.code == 0, result.err
        assert "struct Cell" in result.out
        assert "kernel class: M1" in result.out


def test_doctor_tests_a_kernel_of_each_class(gatework):
    result = gatework("doctor")
    assert result.code == 0, result.out
    assert "all kernels agree with their equations" in result.out
    assert result.out.count("\nok ") == 6


def test_doctor_fails_on_a_wrong_kernel(gatework, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gatework.cli.verbs.doctor.TOLERANCE", -1.0)
    result = gatework("doctor")
    assert result.code == 1
    assert "WRONG" in result.out


@pytest.mark.parametrize("name", TASKS)
def test_python_and_command_line_use_the_same_words(name):
    """Each verb that acts on a model is a method or function of the same name, and takes the flags as arguments."""
    cls = task(name)
    for verb in ("predict", "evaluate", "fit"):
        assert "data" in inspect.signature(getattr(cls, verb)).parameters
    assert {"run", "data"} <= set(inspect.signature(resume).parameters)
    assert {"fit", "predict", "evaluate", "resume"} <= set(verbs())
    with pytest.raises(ConfigError, match="max_epochs"):
        cls(max_epoch=3)


def test_a_broken_pipe_is_quiet(fitted):
    model = fitted("forecaster")
    shell = f"'{sys.executable}' -m gatework predict '{model.run}' '{model.data}' | head -n 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_a_missing_package_of_a_field_is_named():
    """A core install has no pydantic: the command says what to install instead of failing with a traceback."""
    code = (
        "import sys; sys.modules['pydantic'] = None; from gatework.cli.main import main; "
        "sys.exit(main(['config', 'forecaster']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: gatework config needs pydantic")
    assert "pip install 'gatework[all]'" in done.stderr
