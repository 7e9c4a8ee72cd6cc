"""Writes the documents that are made from the code: docs/cells.md, compiler.md, places.md and settings.md.

python docs/build.py            write
python docs/build.py --check    end with code 1 where a document is not what the code says
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import kernel_page
import place_page

from gatework.cells import Cell, catalogue, find
from gatework.cells.declarations import Extra
from gatework.cli.flags import shown
from gatework.tasks import task, tasks
from gatework.tasks.setting import fields

DOCS = Path(__file__).resolve().parent
CELLS = """# Cells

Every cell is one file of `src/gatework/cells/`; this page is made from them by `python docs/build.py`. `gatework
explain <cell>` shows what the compiler makes of one. In the equations `x.i` is `W x + b` of gate `i`, `U.i @ s.h` is
the recurrent product with its bias, and `p.i` a learned vector; a number in brackets is a width that is not H.
"""
SETTINGS = """# Settings

Every setting of every application, made from their models by `python docs/build.py`. The names are the same in Python
(`Forecaster(horizon=24)`), on the command line (`--horizon 24`) and in YAML (`horizon: 24`); `gatework config <task>`
prints them as a file to edit, `gatework config <task> --schema` as a JSON schema.
"""


def cell_page(name: str, kind: type[Cell]) -> str:
    """One cell: what it is, what it is made of with its default options, and its class as it stands in the file."""
    about = inspect.cleandoc(kind.__doc__ or "").replace("  Source:", "\n\nSource:")
    cell = find(name)
    parts = {
        "States": [_with_size(cell, "s", state) for state in cell.states],
        "gates": [_with_size(cell, "x", gate) for gate in cell.gate_names],
        "inputs of each step": [f"`{entry}`" for _, entry, _ in cell.entries(Extra)],
        "options": [f"`{option}={getattr(cell, option)!r}`" for option in cell.options],
    }
    listed = "; ".join(f"{title} {', '.join(names)}" for title, names in parts.items() if names)
    listed += f". Kernel class {kernel_page.kinds()[name]}"
    return "\n".join([f"## {name}", "", about, "", f"{listed}.", "", "```text", kernel_page.body(kind), "```", ""])


def _with_size(cell: Cell, kind: str, name: str) -> str:
    """`h`, or `z` [1] where the width is not H."""
    size = str(cell.expression(kind, name))
    return f"`{name}`" if size == "H" else f"`{name}` [{size}]"


def settings_table(name: str) -> str:
    """Every field of a task's configuration as a Markdown table."""
    rows = ["| setting | takes | default | meaning |", "|---|---|---|---|"]
    for field in fields(task(name).Config):
        cells = (f"`{field.name}`", field.expected, f"`{shown(field.default)}`", field.help)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def documents() -> dict[Path, str]:
    """Each document's path and the text it should have."""
    cells = [CELLS, *(cell_page(name, cell) for name, cell in catalogue().items())]
    settings = [SETTINGS, *(f"## {name}\n\n{about}\n\n{settings_table(name)}\n" for name, about in tasks().items())]
    return {
        DOCS / "cells.md": "\n".join(cells),
        DOCS / "compiler.md": kernel_page.page(),
        DOCS / "places.md": place_page.page(),
        DOCS / "settings.md": "\n".join(settings),
    }


def main() -> int:
    stale = []
    for path, text in documents().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale:
        print(f"{'stale' if '--check' in sys.argv else 'written'}: {', '.join(stale)}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
