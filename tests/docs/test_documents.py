"""Every code block of README, CONTRIBUTING and docs runs, and prints what stands below it."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gatework
from tests.docs.blocks import Block, blocks, masked
from tests.docs.served import command

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUNNABLE = {"python", "sh"}
PLAIN = {"text", "yaml", "make", "cpp"}


def run_python(block: Block, path: Path, namespace: dict[str, object]) -> str:
    out = io.StringIO()
    code = compile("\n" * block.line + block.text, str(path), "exec")
    with contextlib.redirect_stdout(out):
        exec(code, namespace)
    return out.getvalue()


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the `gatework` of `served`."""
    folder = tmp_path_factory.mktemp("bin")
    server = command(folder)
    yield folder
    server.signal(signal.SIGKILL)
    server.ended()


def run_shell(block: Block, folder: Path, commands: Path) -> str:
    """The lines of a block in one shell; `make` targets are only resolved (they install, and one is this very test)."""
    lines = []
    for line in block.text.splitlines():
        if line.startswith("make "):
            lines.append(f"make -C '{ROOT}' -n {line.split()[1]} > /dev/null")
        elif line.startswith(("git clone", "cd ", "pip install")):
            continue
        else:
            lines.append(line)
    path = [str(commands), str(Path(sys.executable).parent), os.environ["PATH"]]
    done = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(lines)],
        cwd=folder,
        env=os.environ | {"PATH": os.pathsep.join(path)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.usefixtures("painted_once")
@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_run_and_print_what_they_promise(
    path: Path, tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(path):
        assert block.language in RUNNABLE | PLAIN, f"{path.name}:{block.line}: name the language of this block"
        if block.language not in RUNNABLE:
            continue
        printed = (
            run_python(block, path, namespace) if block.language == "python" else run_shell(block, tmp_path, commands)
        )
        if block.output is not None:
            assert masked(printed) == masked(block.output), f"{path.name}:{block.line} prints:\n{printed}"


def test_the_command_is_installed():
    done = subprocess.run([Path(sys.executable).with_name("gatework"), "--version"], capture_output=True, check=True)
    assert done.stdout.decode().strip() == gatework.__version__


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path):
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (path.parent / target).exists(), f"{path.name} links to {target}"


def test_masking_keeps_words_and_drops_numbers():
    assert masked("MAE   12.5\n") == masked("MAE 3.14e-2")
    assert masked("MAE 1") != masked("RMSE 1")


def test_contributing_is_short():
    assert (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").count("\n") < 200


@pytest.mark.parametrize("script", ["docs/build.py", "benchmarks/report.py"])
def test_made_documents_are_as_their_sources_say(script: str):
    command = [sys.executable, str(ROOT / script), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
