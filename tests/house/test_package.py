"""The package as it installs: version, torch left alone, lazy import, small core."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import gatework

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
PINNED = {name.lower().replace("_", "-"): Version(version) for name, version in PINS.items()}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_core_is_torch_and_numpy():
    assert {normal(Requirement(line).name) for line in PROJECT["dependencies"]} == {"torch", "numpy"}


def test_torch_range():
    torch = next(Requirement(line) for line in PROJECT["dependencies"] if Requirement(line).name == "torch")
    assert PINNED["torch"] == Version("2.13.0")
    assert [version in torch.specifier for version in ("2.10.1", "2.11.0", "2.12.1", "2.13.0", "2.14.0")] == [
        False,
        True,
        True,
        True,
        False,
    ]


def closure(extra: str) -> dict[str, list[Requirement]]:
    """Installed requirement -> what asks for it, for everything that an extra brings in."""
    asked: dict[str, list[Requirement]] = {}
    todo = [Requirement(line) for line in EXTRAS[extra]]
    seen = set()
    while todo:
        requirement = todo.pop()
        name = normal(requirement.name)
        asked.setdefault(name, []).append(requirement)
        for chosen in ("", *sorted(requirement.extras)):
            if (name, chosen) in seen:
                continue
            seen.add((name, chosen))
            if name == "gatework":
                todo += [Requirement(line) for line in EXTRAS.get(chosen, [])]
                continue
            needs = [Requirement(line) for line in metadata.requires(name) or []]
            todo += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": chosen})]
    return asked


@pytest.mark.parametrize("extra", EXTRAS)
def test_no_extra_asks_for_another_torch(extra: str):
    """Resolves what the extra brings, through every level, and finds nothing that would move torch off its pin."""
    asked = closure(extra)
    assert all(PINNED["torch"] in requirement.specifier for requirement in asked.get("torch", []))
    foreign = {name for name in asked if name in ("torchvision", "torchaudio", "triton") or name.startswith("nvidia-")}
    assert foreign == set()


@pytest.mark.parametrize("extra", EXTRAS)
def test_constraints_pin_all_that_an_extra_brings(extra: str):
    asked = closure(extra)
    unpinned = {name for name in asked if name != "gatework" and name not in PINNED}
    assert unpinned - {"pip", "setuptools"} == set()
    for requirement in (one for requirements in asked.values() for one in requirements):
        pin = PINNED.get(normal(requirement.name))
        assert pin is None or requirement.specifier.contains(pin, prereleases=True), str(requirement)


def test_version_is_the_same_everywhere():
    assert metadata.version("gatework") == gatework.__version__
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)[0] == gatework.__version__


def fresh(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_import_is_lazy():
    """Nothing but the standard library and the package's own `__init__` is loaded by `import gatework`."""
    done = fresh(
        "import sys; before = set(sys.modules); import gatework; "
        "print(*sorted(m for m in set(sys.modules) - before if m.split('.')[0] not in sys.stdlib_module_names))"
    )
    assert done.stdout.split() == ["gatework"], done.stderr


@pytest.mark.parametrize("verb", ["", "tasks", "fit"])
def test_help_is_fast_and_imports_no_torch(verb: str):
    heavy = {"torch", "numpy", "pydantic", "pandas", "narwhals", "lightning_fabric", "rich", "yaml", "matplotlib"}
    code = (
        "import sys, gatework.cli.main as m\n"
        f"try: m.main({[verb] if verb else []} + ['--help'])\n"
        "except SystemExit: pass\n"
        f"print(sorted({heavy} & set(sys.modules)), file=sys.stderr)"
    )
    done = fresh(code)
    assert done.stderr.strip() == "[]"
    assert "usage: gatework" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs os.wait4 for the CPU time of one child")
def test_help_answers_in_a_third_of_a_second():
    """CPU seconds of the whole process, the best of five, so that a busy machine cannot fail the test."""
    seconds = []
    for _ in range(5):
        child = subprocess.Popen([sys.executable, "-m", "gatework", "--help"], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        seconds.append(usage.ru_utime + usage.ru_stime)
    assert min(seconds) <= 0.3


def test_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match=r"no attribute 'Forcaster'.*Forecaster"):
        gatework.Forcaster  # noqa: B018  (the access is the test)


def test_core_install_is_enough_for_cells_layers_and_their_verbs():
    """Everything but torch and numpy (and what they bring) is made impossible to import."""
    code = (
        "import sys\n"
        f"for name in {sorted(BEYOND_CORE)}: sys.modules[name] = None\n"
        "import torch\n"
        "from gatework.cli.main import main\n"
        "from gatework.nn import LSTM\n"
        "y, _ = LSTM(3, 4)(torch.randn(5, 2, 3)); y.sum().backward()\n"
        "codes = [main([word, *rest]) for word, *rest in (['cells'], ['explain', 'lstm'], ['doctor'], ['tasks'])]\n"
        "sys.exit(str(codes) if any(codes) else 0)"
    )
    done = fresh(code)
    assert done.returncode == 0, done.stderr


BEYOND_CORE = {
    *("lightning_fabric", "matplotlib", "narwhals", "pandas", "polars", "pyarrow", "pydantic", "rich", "safetensors"),
    *(
        "onnx",
        "onnxruntime",
        "scipy",
        "sentencepiece",
        "sklearn",
        "statsmodels",
        "torchrecurrent",
        "transformers",
        "yaml",
    ),
}
