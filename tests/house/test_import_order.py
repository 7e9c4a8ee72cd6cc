"""Folders stand in the order that data flows through them, and import only from those before them."""

import ast
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src" / "gatework"
ORDER = ["errors", "say", "cells", "compiler", "nn", "data", "run", "export", "train", "tasks", "bench", "cli"]
ORDER += ["__main__"]
CORE = {"errors", "say", "cells", "compiler", "nn"}
CORE_MAY_IMPORT = {"torch", "numpy", "networkx"}  # torch itself requires networkx

FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def folder_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(text: str, package: tuple[str, ...]) -> list[tuple[int, str]]:
    """(line, dotted name) of each import of the text, wherever it stands; relative ones are resolved."""
    names = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            if module == "gatework":
                names += [(node.lineno, f"gatework.{alias.name}") for alias in node.names]
            else:
                names.append((node.lineno, module))
    return names


def violations(text: str, folder: str, package: tuple[str, ...]) -> list[str]:
    found = []
    for line, name in imported(text, package):
        first, *rest = name.split(".")
        if first == "gatework":
            target = rest[0] if rest else ""
            if target in ORDER and ORDER.index(target) > ORDER.index(folder):
                found.append(f"line {line}: {folder} imports {name}, which comes after it")
        elif folder in CORE and first not in sys.stdlib_module_names and first not in CORE_MAY_IMPORT:
            found.append(f"line {line}: {folder} is part of the core and imports {first}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_upward(path: Path):
    assert folder_of(path) in ORDER, f"{path} stands in a folder that the order does not know"
    package = ("gatework", *path.relative_to(SOURCE).parent.parts)
    assert violations(path.read_text(encoding="utf-8"), folder_of(path), package) == []


@pytest.mark.parametrize(
    ("text", "folder", "package"),
    [
        ("from gatework.tasks import base", "cells", ("gatework", "cells")),
        ("def f():\n    import gatework.cli.main", "tasks", ("gatework", "tasks")),
        ("from ..train import loop", "run", ("gatework", "run")),
        ("from gatework import tasks", "nn", ("gatework", "nn")),
        ("import pandas as pd", "nn", ("gatework", "nn")),
    ],
)
def test_the_scan_sees_a_wrong_import(text: str, folder: str, package: tuple[str, ...]):
    assert len(violations(text, folder, package)) == 1


def test_a_right_import_passes():
    text = "import torch\nfrom gatework.cells import Cell\nfrom . import base\nimport pathlib"
    assert violations(text, "compiler", ("gatework", "compiler")) == []
