"""Makes docs/compiler.md: one cell from its equations to the measured kernel, every listing taken from the compiler."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import torch

from gatework.bench.record import read
from gatework.cells import Cell, catalogue, find
from gatework.compiler.explain import KINDS, explain
from gatework.compiler.graph import CONSTANTS, op_name
from gatework.compiler.plan import describe, plan
from gatework.compiler.render.cpp import cell_source

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS.parent / "benchmarks" / "results.csv"
CELL = "janet"

# Of each kernel class: what takes it there, and the part of render/native that runs it.
CLASSES = {
    "M1": ("products on the old state, then arithmetic on each unit", "`forward.h`, `backward.h`"),
    "M1t": ("the same with inputs of each step or random numbers", "`forward.h`, `backward.h`, `more.h`"),
    "M1x": ("products on old states of several sizes or in blocks (heads)", "`staged.h`"),
    "M1r": ("the same with operations over the units: norms, softmax, cumsum, max", "`staged.h`, `rows.h`"),
    "M2": ("products on values of the step itself", "`staged.h`, `rows.h`"),
    "D": ("no product in the time loop", "`diagonal.h`"),
    "S": ("the same, and linear in its state: chunks of time run side by side", "`diagonal.h`"),
}


@cache
def kinds() -> dict[str, str]:
    """The kernel class of every cell of the catalogue with its default options."""
    return {name: plan(find(name)).kind for name in catalogue()}


def body(kind: type[Cell]) -> str:
    """A class without its docstring: declarations, then methods."""
    source = textwrap.dedent(inspect.getsource(kind))
    docstring = ast.parse(source).body[0].body[0]  # type: ignore[attr-defined]
    lines = source.splitlines()
    return "\n".join([lines[0], *lines[docstring.end_lineno + 1 :]])


def page() -> str:
    """The document."""
    planned = plan(find(CELL))
    assert [op_name(n) for n in planned.saved] == ["add", "tanh"], "the template explains what is saved"
    template = (DOCS / "compiler.template").read_text(encoding="utf-8")
    forward, backward = _graph(planned)
    functions = _functions(cell_source(planned))
    parts = {
        "EQUATIONS": body(catalogue()[CELL]),
        "PRODUCTS": ", ".join(f"{p.key}.{p.name} @ s.h" for p in planned.products),
        "FORWARD": "\n".join(forward),
        "BACKWARD": "\n".join(backward),
        "COUNT": str(len(forward) + len(backward)),
        "SAVED": "\n".join(describe(node) for node in planned.saved),
        "CPP_FORWARD": functions["forward"],
        "CPP_BACKWARD": functions["backward"],
        "SPEED": _speed(),
        "CLASSES": _classes(),
        "REFUSAL": _refusal(),
    }
    for name, text in parts.items():
        assert f"<{name}>" in template, name
        template = template.replace(f"<{name}>", text)
    return template


def _refusal() -> str:
    """Why a step that sorts its units is not compiled."""

    class Sorted(Cell):
        state = "h"
        gates = ("a",)

        def step(self, x, s, U):
            return torch.tanh(torch.sort(x.a + U.a @ s.h, -1).values)

    return explain(Sorted).reason


def _graph(planned: Any) -> tuple[list[str], list[str]]:
    """The traced operations of forward, and those of backward."""
    given = {node for node in planned.graph.nodes if node.op == "placeholder" and node.name.startswith("d_")}
    after, forward, backward = set(given), [], []
    for node in planned.graph.nodes:
        if node.op == "call_function" and op_name(node) not in CONSTANTS:
            late = any(source in after for source in node.all_input_nodes)
            after |= {node} if late else set()
            (backward if late else forward).append(describe(node))
    return forward, backward


def _functions(source: str) -> dict[str, str]:
    """The bodies of the generated functions, by name."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in source.splitlines():
        if "INLINE void" in line:
            name = line.split("void ")[1].split("(")[0]
        if name:
            found.setdefault(name, []).append(line)
        if line == "    }":
            name = ""
    return {key: textwrap.dedent("\n".join(lines)) for key, lines in found.items()}


def _speed() -> str:
    """The cell's kernel beside the LSTM's, in floating point operations a second, from the results."""
    rows = [row for row in read(RESULTS) if row["suite"] == "kernels" and row["cell"] == CELL]
    newest = {(row["shape"], row["threads"]): row for row in rows if row["metric"] == "seconds per GFLOP"}
    lines = ["| shape | threads | JANET, GFLOP/s | LSTM, GFLOP/s |", "|---|---|---|---|"]
    for (shape, threads), row in newest.items():
        if shape in ("T100 B1 H128", "T100 B32 H256", "T100 B64 H512"):
            speeds = (f"{1 / float(row[column]):.0f}" for column in ("median", "peer_median"))
            lines.append(f"| {shape} | {threads} | " + " | ".join(speeds) + " |")
    return "\n".join(lines)


def _classes() -> str:
    """The table of kernel classes with the cells of the catalogue that are in each."""
    cells: dict[str, list[str]] = defaultdict(list)
    for name, kind in kinds().items():
        cells[kind].append(name)
    lines = ["| class | what a step contains | skeleton | cells |", "|---|---|---|---|"]
    for kind in KINDS:
        what, where = CLASSES[kind]
        lines.append(f"| {kind} | {what} | {where} | {', '.join(cells[kind]) or 'with `heads=`'} |")
    return "\n".join(lines)
