"""What becomes of a cell: the kernel class, the graph, what is saved, and the generated source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from gatework.cells import Cell, find
from gatework.compiler.build import kernel_key, machine
from gatework.compiler.launch import Refusal, kernel_or_refusal
from gatework.compiler.plan import Plan, describe, plan
from gatework.compiler.render.cpp import cell_source, render


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; `str()` of it is a page to read.

    Attributes:
        cell: the cell's name.
        backend: "cpp" or "reference".
        kind: the kernel class, such as "M1"; "reference" when nothing is compiled.
        reason: why the reference is used; empty otherwise.
        graph: the traced operations of forward and backward, a line each.
        saved: the values that forward keeps for backward, a line each.
        source: the whole generated C++.
        page: everything, laid out for reading.
    """

    cell: str
    backend: str
    kind: str
    reason: str
    graph: tuple[str, ...]
    saved: tuple[str, ...]
    source: str
    page: str

    def __str__(self) -> str:
        return self.page


def explain(what: Any, dtype: torch.dtype = torch.float32) -> Explanation:
    """Say how a cell or layer runs, and show its kernel.

    Args:
        what: a layer of `gatework.nn`, a cell, a cell class, or a name of the catalogue.
        dtype: of the inputs; a layer's own parameters decide where there are any.

    Raises CellError for what is none of these.
    """
    cell, sizes, backend = what, "", "auto"
    if isinstance(what, torch.nn.Module) and isinstance(getattr(what, "cell", None), Cell):
        dtype = next(what.parameters()).dtype
        sizes, backend, cell = repr(what), str(what.backend), what.cell
    cell = find(cell)
    choice = kernel_or_refusal(cell, dtype)
    if isinstance(choice, Refusal) or backend == "reference":
        reason = choice.reason if isinstance(choice, Refusal) else 'the layer asks for it: backend="reference".'
        page = f"{sizes or repr(cell)}\nbackend: reference, the step in a Python loop\nwhy: {reason}"
        return Explanation(cell.name, "reference", "reference", reason, (), (), "", page)
    planned = plan(cell)
    graph = tuple(describe(node) for node in planned.graph.nodes if node.op == "call_function")
    saved = tuple(describe(node) for node in planned.saved)
    page = "\n".join(
        [
            f"{sizes or repr(cell)}",
            *_facts(planned, cell, dtype),
            "",
            f"graph, forward then backward, of {_inputs(planned)}:",
        ]
    )
    page += "".join(f"\n  {line}" for line in graph)
    page += f"\n\nsource ({kernel_key(cell, dtype)}.cpp, without the skeleton of gatework/compiler/render/native):\n"
    page += cell_source(planned)
    return Explanation(cell.name, "cpp", planned.kind, "", graph, saved, render(planned), page)


def _inputs(planned: Plan) -> str:
    return ", ".join(node.name for node in planned.graph.nodes if node.op == "placeholder")


def _facts(planned: Plan, cell: Cell, dtype: torch.dtype) -> list[str]:
    lanes = machine().vector_bytes // (torch.finfo(dtype).bits // 8)
    products = ", ".join(f"{p.key}.{p.name} @ {cell.states[p.operand]}" for p in planned.products)
    both = sum(s.gate is not None and s.product is not None for s in planned.slots)
    return [
        f"backend: cpp, {dtype}, vectors of {lanes}",
        f"kernel class: {planned.kind}, one grouped product on old states, then pointwise",
        f"products in the loop: {products}",
        f"input products before it: {', '.join('x.' + g for g in cell.gate_names)}",
        f"saved for backward, each [N, H]: {'; '.join(map(describe, planned.saved)) or 'nothing'}; and the states",
        f"gradient buffer: {len(planned.slots)} values of [N, H], {both} of them of an input and a recurrent product",
    ]
