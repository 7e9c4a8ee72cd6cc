"""The README's two commands and what stands behind them, as far as can be seen without installing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*words: str) -> subprocess.CompletedProcess[str]:
    # Without MAKEFLAGS of an outer `make test`, whose options are not these.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def test_help_names_the_two_commands():
    done = make()
    assert done.returncode == 0
    assert "make demo" in done.stdout
    assert "make test" in done.stdout


@pytest.mark.parametrize("target", ["demo", "test"])
def test_installs_under_the_constraints_with_the_pinned_torch(target: str, tmp_path: Path):
    done = make("-n", target, f"VENV={tmp_path / 'new'}")
    assert done.returncode == 0, done.stderr
    installs = [line for line in done.stdout.splitlines() if "pip install" in line]
    assert len(installs) == 1
    assert "-c constraints.txt torch==2.13.0" in installs[0]


def test_test_runs_pytest_last_and_all_checks():
    commands = [line for line in make("-n", "test").stdout.splitlines() if "/bin/" in line]
    assert commands[-1].endswith("-m pytest -q -n 2 --dist worksteal")
    assert [any(word in line for line in commands) for word in ("ruff check", "ruff format --check", "mypy")] == [
        True
    ] * 3


def test_ci_calls_make_test():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "exec make test"


def test_a_missing_compiler_is_named_with_the_way_to_install_one():
    done = make("demo", "COMPILER=")
    assert done.returncode != 0
    assert "apt install g++" in done.stdout
