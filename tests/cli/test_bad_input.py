"""What a user can do wrong on the command line: one plain line, code 2, no traceback, nothing written half."""

from __future__ import annotations

import gzip
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gatework.run import Run
from tests.cli.conftest import call

GOOD = "ds,y\n" + "".join(f"2024-01-{day:02d},{day % 7}\n" for day in range(1, 32))


def table(rows: list[str], header: str = "ds,y") -> str:
    return "\n".join([header, *rows]) + "\n"


def days(values: list[object]) -> list[str]:
    return [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d},{value}" for i, value in enumerate(values)]


# name -> (text of data.csv or None, words after `gatework fit forecaster data.csv`, what the message must say)
FIT = {
    "missing file": (None, [], r"data\.csv"),
    "empty file": ("", [], r"empty"),
    "header only": ("ds,y\n", [], r"no rows|empty"),
    "wrong encoding": ("ds,y\n2024-01-01,\xff\xfe\n".encode("latin-1"), [], r"UTF-8|encoding"),
    "no numeric column": (table(["2024-01-01,a", "2024-01-02,b", "2024-01-03,c"]), [], r"numeric|number"),
    "duplicate timestamps": (table(["2024-01-01,1", "2024-01-01,2", "2024-01-02,3"]), [], r"2024-01-01"),
    "unparsable dates": (table(["spring,1", "summer,2", "autumn,3"]), [], r"date|time"),
    "mixed dates": (table(["2024-01-01,1", "01/02/2024,2", "tomorrow,3"]), [], r"date|time"),
    "text in the target": (table(days([1, 2, "n/k", 4, 5, 6, 7, 8])), [], r"n/k"),
    "infinite value": (table(days([1, 2, "inf", 4, 5, 6, 7, 8])), [], r"inf"),
    "all missing": (table(days([""] * 20)), [], r"missing|no .*value|numeric|empty"),
    "too short": (table(days([1, 2, 3])), ["--horizon", "24"], r"horizon"),
    "horizon 0": (GOOD, ["--horizon", "0"], r"^error: --horizon is '0'; expected whole number.*1 to 10000"),
    "horizon negative": (GOOD, ["--horizon=-3"], r"horizon"),
    "horizon too long": (GOOD, ["--horizon", "100000"], r"horizon"),
    "horizon text": (GOOD, ["--horizon", "soon"], r"horizon.*soon|soon.*horizon"),
    "typo in a flag": (GOOD, ["--horizn", "3"], r"^error: no setting is called --horizn. Did you mean --horizon"),
    "typo in our own flag": (GOOD, ["--confg", "x.yaml"], r"--confg.*Did you mean --config"),
    "unknown cell": (GOOD, ["--horizon", "3", "--cell", "lstn"], r"lstn.*lstm"),
    "unknown preset": (GOOD, ["--horizon", "3", "--preset", "godo"], r"preset.*good"),
    "unknown target": (GOOD, ["--horizon", "3", "--target", "sales"], r"sales"),
    "unknown covariate": (GOOD, ["--horizon", "3", "--future-covariates", "price"], r"price"),
    "missing yaml": (GOOD, ["--config", "nowhere.yaml"], r"nowhere\.yaml"),
    "a word too many": (GOOD, ["more"], r"more"),
    "a flag without its value": (GOOD, ["--config"], r"--config"),
}


def assert_plain_error(result, pattern: str) -> None:
    assert result.code == 2, result
    lines = result.err.strip().splitlines()
    assert lines[-1].startswith("error: ") or any(line.startswith("error: ") for line in lines)
    assert "Traceback" not in result.err
    assert re.search(pattern, result.err[result.err.index("error: ") :], re.IGNORECASE | re.DOTALL), result.err


def leftovers(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", FIT)
def test_fit_refuses(gatework, tmp_path: Path, case: str):
    content, words, pattern = FIT[case]
    if content is not None:
        (tmp_path / "data.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    before = leftovers(tmp_path)
    assert_plain_error(gatework("fit", "forecaster", "data.csv", *words), pattern)
    assert leftovers(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("horizn: 3\n", r"^error: run.yaml: no setting is called 'horizn'. Did you mean 'horizon'"),
        ("horizon: [\n", r"YAML|line"),
        ("- 1\n- 2\n", r"holds a list"),
        ("horizon: soon\n", r"^error: run.yaml: horizon is 'soon'"),
        ("model:\n  hiden_size: 3\n", r"hiden.size.*hidden"),
        ("!!python/object/apply:os.getcwd []\n", r"YAML|tag|mapping"),
    ],
)
def test_fit_refuses_a_wrong_yaml_file(gatework, tmp_path: Path, text: str, pattern: str):
    (tmp_path / "data.csv").write_text(GOOD)
    (tmp_path / "run.yaml").write_text(text)
    result = gatework("fit", "forecaster", "data.csv", "--config", "run.yaml")
    assert_plain_error(result, pattern)
    assert leftovers(tmp_path) == {"data.csv", "run.yaml"}


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["fot"], r"'fot'.*Did you mean 'fit'"),
        (["--verson"], r"--verson"),
        (["fit"], r"TASK"),
        (["fit", "forcaster", "data.csv"], r"forcaster.*forecaster"),
        (["fit", "forcaster", "data.csv", "--horizon", "3"], r"forcaster.*forecaster"),
        (["config", "forcaster"], r"forcaster.*forecaster"),
        (["synth", "forcaster"], r"forcaster.*forecaster"),
        (["config", "forecaster", "--shema"], r"--shema.*Did you mean --schema"),
        (["predict", "nowhere", "data.csv"], r"nowhere"),
        (["predict", ".", "data.csv"], r"run"),
        (["evaluate", "nowhere", "data.csv"], r"nowhere"),
        (["evaluate", "nowhere", "data.csv", "--windows", "many"], r"nowhere does not exist"),
        (["resume", "."], r"run"),
        (["explain", "lstn"], r"lstn.*lstm"),
        (["explain", "nowhere.py:Mine"], r"nowhere\.py"),
        (["explain", "lstm", "--hidden-size", "0"], r"hidden_size|hidden-size"),
        (["explain", "lstm", "--hidden-size", "-4"], r"hidden_size|hidden-size"),
        (["runs", "--sort", "luck"], r"luck"),
        (["tasks", "--all"], r"--all"),
        (["doctor", "please"], r"please"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_other_verbs_refuse(gatework, tmp_path: Path, words: list[str], pattern: str):
    assert_plain_error(gatework(*words), pattern)
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize(
    ("body", "pattern"),
    [
        ("def step(self, x, s, U):\n        return x.f, x.g", r"returned 2 states"),
        ("def step(self, x, s, U):\n        return x.f[:, :1]", r"shape"),
        ("def step(self, x, s, U):\n        return x.missing", r"missing"),
        ("def step(self, x, U):\n        return x.f", r"step"),
        ("pass", r"no `step`"),
    ],
)
def test_explain_refuses_a_wrong_cell(gatework, tmp_path: Path, body: str, pattern: str):
    text = f"from gatework import Cell\nclass Mine(Cell):\n    state = 'h'\n    gates = 'f', 'g'\n    {body}\n"
    (tmp_path / "mine.py").write_text(text)
    assert_plain_error(gatework("explain", "mine.py:Mine"), pattern)


def test_explain_refuses_a_file_without_the_cell(gatework, tmp_path: Path):
    (tmp_path / "mine.py").write_text("x = 1\n")
    assert_plain_error(gatework("explain", "mine.py:Mine"), r"no cell 'Mine'")
    (tmp_path / "mine.py").write_text("def\n")
    assert_plain_error(gatework("explain", "mine.py:Mine"), r"not Python.*line 1")


@pytest.mark.parametrize(
    ("output", "pattern"),
    [("nowhere/out.csv", r"nowhere"), ("out.docx", r"docx.*csv"), ("out", r"csv")],
)
def test_predict_refuses_an_output_it_cannot_write(gatework, fitted, tmp_path: Path, output: str, pattern: str):
    model = fitted("forecaster")
    assert_plain_error(gatework("predict", model.run, model.data, "-o", output), pattern)
    assert leftovers(tmp_path) == set()


@pytest.mark.parametrize("windows", ["0", "-1"])
def test_evaluate_refuses_less_than_one_window(gatework, fitted, windows: str):
    model = fitted("forecaster")
    assert_plain_error(gatework("evaluate", model.run, model.data, f"--windows={windows}"), r"window")


def test_predict_refuses_other_columns(gatework, fitted, tmp_path: Path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n2,3\n")
    assert_plain_error(gatework("predict", fitted("forecaster").run, "other.csv"), r"column")


def test_a_damaged_archive_is_refused(gatework, tmp_path: Path):
    (tmp_path / "data.csv.gz").write_bytes(gzip.compress(GOOD.encode())[:-9])
    assert_plain_error(gatework("fit", "forecaster", "data.csv.gz", "--horizon", "3"), r"data\.csv\.gz")


@pytest.mark.parametrize("kind", ["weights cut short", "foreign run.json", "no weights"])
def test_a_damaged_run_is_refused(gatework, fitted, tmp_path: Path, kind: str):
    import shutil

    model = fitted("forecaster")
    copy = Path(shutil.copytree(model.run, tmp_path / "copy"))
    weights = next(copy.rglob("model/*.safetensors"))
    if kind == "weights cut short":
        weights.write_bytes(weights.read_bytes()[:-7])
    elif kind == "no weights":
        weights.unlink()
    else:
        (copy / "run.json").write_text('{"format": 999}')
    assert_plain_error(gatework("predict", copy, model.data), r"copy|format|safetensors")


def test_runs_names_a_damaged_folder_and_lists_the_rest(gatework, tmp_path: Path):
    Run.create("forecaster", root=tmp_path / "runs")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "run.json").write_text("{")
    result = gatework("runs")
    assert result.code == 0
    assert "forecaster-001" in result.out
    assert "broken" in result.out


def test_no_runs_is_said(gatework):
    assert gatework("runs").out == "no runs in runs\n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT between processes")
def test_ctrl_c_ends_with_130_and_names_the_resume_command(tmp_path: Path):
    command = [sys.executable, "-m", "gatework"]
    assert call("synth", "forecaster", "-o", tmp_path / "data.csv").code == 0
    words = ["fit", "forecaster", "data.csv", "--horizon", "6", "--max-epochs", "10000", "--patience", "0"]
    child = subprocess.Popen([*command, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/metrics.jsonl")) and child.poll() is None and time.monotonic() < limit:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 130, err
    assert "gatework resume runs/forecaster-001" in err
    assert "Traceback" not in err
    assert "\r" not in err
