"""The house rules that a machine can read: sizes, names, exceptions, pickle, unfinished work."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "gatework"
FILES = sorted([*SOURCE.rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "examples").rglob("*.py")])
TEXTS = [
    path
    for place in ROOT.iterdir()
    if place.name != ".venv"  # too large a tree to walk through
    for path in ([place] if place.is_file() else place.rglob("*"))
    if path.suffix in (".py", ".md", ".toml")
]
VAGUE = {"utils", "helpers", "common", "manager", "misc"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_sizes_and_names(path: Path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, "could one file be two rooms?"
    assert path.stem not in VAGUE
    long = [
        f"{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno >= 60
    ]
    assert long == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_no_broad_except_no_pickle(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            hands_on = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None  # cleans up, hides nothing
            broad = caught in ("everything", "Exception", "BaseException")
            assert hands_on or not broad, f"line {node.lineno} catches {caught}"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            assert not modules & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}, f"line {node.lineno}"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "torch.save"):
            pytest.fail(f"line {node.lineno}: {ast.unparse(node.func)} reads or writes a pickle")


def test_no_file_names_a_machine():
    """Nothing that is committed may hold a path or an address of the machine it was written on."""
    pattern = re.compile(r"/(?:work|root|home|Users)/\w|https?://(?:localhost|10\.|192\.168\.|[\w.-]*pypi)")
    found = [
        f"{name(path)}:{number}: {line.strip()[:100]}"
        for path in TEXTS
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_public_package_is_typed():
    assert (SOURCE / "py.typed").is_file()
