"""What becomes of a cell: the kernel class, the graph, what is saved, and the generated source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from gatework.cells import Cell, find
from gatework.compiler.build import coding, kernel_key, machine
from gatework.compiler.graph import size_of
from gatework.compiler.launch import Refusal, inner_dtype, kernel_or_refusal
from gatework.compiler.plan import Plan, describe, plan
from gatework.compiler.render.cpp import cell_source, render
from gatework.compiler.render.staged import StagedSource
from gatework.compiler.stages import Staged


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
        parameter = next(what.parameters(), None)
        dtype = torch.int8 if parameter is None else parameter.dtype  # only weights of eight bits are no parameters
        sizes, backend, cell = repr(what), str(what.backend), what.cell
    cell = find(cell)
    wanted, dtype = dtype, _inside(cell, dtype)
    choice = kernel_or_refusal(cell, dtype)
    if isinstance(choice, Refusal) or backend == "reference":
        reason = choice.reason if isinstance(choice, Refusal) else 'the layer asks for it: backend="reference".'
        page = f"{sizes or repr(cell)}\nbackend: reference, the step in a Python loop\nwhy: {reason}"
        return Explanation(cell.name, "reference", "reference", reason, (), (), "", page)
    planned = plan(cell)
    graph = tuple(describe(node) for node in planned.graph.nodes if node.op == "call_function")
    saved = tuple(describe(node) for node in planned.saved)
    facts = _staged_facts(planned) if isinstance(planned, Staged) else _facts(planned)
    lanes = machine().vector_bytes // (8 if dtype == torch.float64 else 4)
    head = [sizes or repr(cell), f"backend: cpp, {dtype}, vectors of {lanes}"]
    if wanted != dtype:
        head.append(f"precision: {wanted} is converted to {dtype} around the kernel")
    elif dtype in PRECISIONS:
        head.append(f"precision: {PRECISIONS[dtype]}")
    head += [f"kernel class: {planned.kind}, {KINDS[planned.kind]}", *facts]
    page = "\n".join(
        [*head, "", f"graph, forward then backward, of {_inputs(planned)}:", *(f"  {line}" for line in graph)]
    )
    page += f"\n\nsource ({kernel_key(cell, dtype)}.cpp, without the skeleton of gatework/compiler/render/native):\n"
    page += "\n".join(StagedSource(planned).text()) if isinstance(planned, Staged) else cell_source(planned)
    return Explanation(cell.name, "cpp", planned.kind, "", graph, saved, render(planned, coding(dtype)), page)


def _inside(cell: Cell, dtype: torch.dtype) -> torch.dtype:
    """What the kernel of a layer of some dtype works in."""
    if dtype == torch.int8:
        return torch.float32 if isinstance(kernel_or_refusal(cell, dtype), Refusal) else dtype
    return inner_dtype(cell, dtype)


PRECISIONS = {
    torch.bfloat16: "products in bfloat16 with sums in float32; states and backward in float32",
    torch.int8: "products of weights of eight bits, sums and states in float32; no backward",
}
# What the kernel classes are, in a few words.
KINDS = {
    "M1": "one grouped product on old states, then pointwise",
    "M1t": "one grouped product on old states, then pointwise with further inputs or random numbers",
    "M1x": "products on old states of several sizes or in blocks, then work on rows",
    "M1r": "products on old states, then work on rows with operations over the units",
    "M2": "rounds of products, some on values of the step, with work on rows between them",
    "D": "no product in the time loop: every unit runs through time on its own",
    "S": "no product in the time loop, and linear in its state: time itself can be divided among threads",
}


def _inputs(planned: Plan | Staged) -> str:
    return ", ".join(node.name for node in planned.graph.nodes if node.op == "placeholder")


def _facts(planned: Plan) -> list[str]:
    cell = planned.cell
    products = ", ".join(f"{p.key}.{p.name} @ {cell.states[p.operand]}" for p in planned.products)
    both = sum(s.gate is not None and s.product is not None for s in planned.slots)
    lines = [
        f"products in the loop: {products or 'none'}",
        f"input products before it: {_before(planned)}",
        f"saved for backward, each [N, H]: {'; '.join(map(describe, planned.saved)) or 'nothing'}; and the states",
    ]
    if planned.products:
        of_both = f"{both} of them of an input and a recurrent product"
        lines.append(f"gradient buffer: {len(planned.slots)} values of [N, H], {of_both}")
    return lines


def _before(planned: Plan | Staged) -> str:
    hoisted = planned.traced.hoisted if isinstance(planned, Staged) else planned.hoisted
    names = ["x." + gate for gate in planned.cell.gate_names] + [f"{key}.{name} @ x.raw" for key, name in hoisted]
    return ", ".join(names) or "none"


def _staged_facts(planned: Staged) -> list[str]:
    traced = planned.traced
    lines = [f"input products before the loop: {_before(planned)}", "a step forward:"]
    for stage in planned.forward:
        if stage.nodes:
            lines.append(f"  on each row: {', '.join(n.name for n in stage.nodes)}")
        for o in stage.then:
            names = ", ".join(f"{p.key}.{p.name}" for p in planned.products if p.operand == o)
            lines.append(f"  products: {names} @ {traced.applied[o].name}")
    lines.append("a step backward:")
    for stage in planned.backward:
        if stage.nodes:
            lines.append(f"  on each row: {', '.join(n.name for n in stage.nodes)}")
        for o in stage.then:
            names = ", ".join(f"{p.key}.{p.name}" for p in planned.products if p.operand == o)
            lines.append(f"  gradient of {traced.applied[o].name}: through {names}")
    sizes = traced.sizes
    saved = "; ".join(f"{describe(n)} [{sizes.formula(size_of(n))}]" for n in planned.saved)
    return [*lines, f"saved for backward, of each row and step: {saved or 'nothing'}"]
