"""C++ for a plan: the cell's pointwise graph as functions on vectors, put in front of the skeleton in `native/`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from gatework.compiler.plan import Plan, Value
from gatework.compiler.trace import CONSTANTS, Unsupported, op_name, operands

if TYPE_CHECKING:
    from torch.fx import Node

# Fields of the struct that a launch fills: name and how many (0: one number, else an array for each of these).
CALL: tuple[tuple[str, str], ...] = (
    *((name, "") for name in ("T", "B", "I", "H", "N", "full_T", "reverse", "threads", "train", "packed")),
    *((name, "") for name in ("batch_sizes", "offsets", "lengths", "order")),
    *((name, "") for name in ("x", "x_time", "x_batch", "y", "y_time", "y_batch", "w_ih", "b_ih", "saved")),
    *((name, "PRODUCTS") for name in ("U", "b_hh")),
    ("vectors", "VECTORS"),
    *((name, "STATES") for name in ("first", "last", "sequence")),
    *((name, "") for name in ("gy", "gy_time", "gy_batch", "dx", "dx_time", "dx_batch", "dw_ih", "db_ih")),
    *((name, "PRODUCTS") for name in ("dU", "db_hh")),
    ("d_vectors", "VECTORS"),
    *((name, "STATES") for name in ("g_last", "d_first")),
)

_OPS: dict[str, str] = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "rsub": "{1} - {0}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "reciprocal": "1 / {0}",
    "sigmoid": "vsigmoid({0})",
    "tanh": "vtanh({0})",
    "exp": "vexp({0})",
    "expm1": "vexpm1({0})",
    "log": "vlog({0})",
    "log1p": "vlog1p({0})",
    "sqrt": "vsqrt({0})",
    "rsqrt": "1 / vsqrt({0})",
    "abs": "vabs({0})",
    "sgn": "pick({0} > 0, splat(1), pick({0} < 0, splat(-1), {0}))",
    "sign": "pick({0} > 0, splat(1), pick({0} < 0, splat(-1), V{{}}))",
    "relu": "pick({0} <= 0, V{{}}, {0})",
    "maximum": "vmax({0}, {1})",
    "minimum": "vmin({0}, {1})",
    "clamp_min": "vmax({0}, {1})",
    "clamp_max": "vmin({0}, {1})",
    "where": "pick({0}, {1}, {2})",
    "sin": "lanes({0}, [](real a) {{ return std::sin(a); }})",
    "cos": "lanes({0}, [](real a) {{ return std::cos(a); }})",
    "erf": "lanes({0}, [](real a) {{ return std::erf(a); }})",
    "floor": "lanes({0}, [](real a) {{ return std::floor(a); }})",
    "ceil": "lanes({0}, [](real a) {{ return std::ceil(a); }})",
    "trunc": "lanes({0}, [](real a) {{ return std::trunc(a); }})",
    "round": "lanes({0}, [](real a) {{ return std::nearbyint(a); }})",
    "silu": "{0} * vsigmoid({0})",
    "softplus": "pick({0} > 20, {0}, vlog1p(vexp({0})))",
    "hardtanh": "vmin(vmax({0}, splat(-1)), splat(1))",
    "sigmoid_backward": "{0} * ((1 - {1}) * {1})",
    "tanh_backward": "{0} * (1 - {1} * {1})",
    "threshold_backward": "pick({1} <= {2}, V{{}}, {0})",
    "softplus_backward": "pick({1} > 20, {0}, {0} * vsigmoid({1}))",
    "hardtanh_backward": "pick(({1} > -1) & ({1} < 1), {0}, V{{}})",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "logical_and": "{0} & {1}",
    "bitwise_and": "{0} & {1}",
    "logical_or": "{0} | {1}",
    "bitwise_or": "{0} | {1}",
    "logical_xor": "{0} ^ {1}",
    "bitwise_xor": "{0} ^ {1}",
    "logical_not": "~{0}",
    "bitwise_not": "~{0}",
}
_MASKS = {
    "gt",
    "ge",
    "lt",
    "le",
    "eq",
    "ne",
    "logical_and",
    "bitwise_and",
    "logical_or",
    "bitwise_or",
    "logical_xor",
    "bitwise_xor",
    "logical_not",
    "bitwise_not",
}
# Operations whose further arguments have only these values in the table's form.
_DEFAULTS: dict[str, tuple[Any, ...]] = {
    "softplus": (1, 20),
    "hardtanh": (-1, 1),
    "softplus_backward": (1, 20),
    "hardtanh_backward": (-1, 1),
}


def _number(value: float) -> str:
    if math.isnan(value):
        return "splat(std::numeric_limits<real>::quiet_NaN())"
    if math.isinf(value):
        return "splat(INF)" if value > 0 else "splat(-INF)"
    return f"splat((real){float(value)!r})"


def _clamp(args: Sequence[str | None]) -> str:
    low, high = (*args[1:], None, None)[:2]
    inner = args[0] if low is None else f"vmax({args[0]}, {low})"
    return str(inner) if high is None else f"vmin({inner}, {high})"


def _power(base: str, exponent: Any) -> str:
    if isinstance(exponent, int | float) and exponent == int(exponent) and 0 <= exponent <= 8:
        return " * ".join([base] * int(exponent)) or "splat(1)"
    if exponent == 0.5:
        return f"vsqrt({base})"
    if isinstance(exponent, int | float) and exponent in (-1, -2):
        return f"1 / ({' * '.join([base] * -int(exponent))})"
    return f"lanes({base}, [](real a) {{ return (real)std::pow(a, (real){float(exponent)!r}); }})"


def _constant(node: Node) -> str:
    if op_name(node) in ("zeros_like", "new_zeros", "_efficientzerotensor"):
        return "V{}"
    return "splat(1)" if op_name(node) in ("ones_like", "new_ones") else _number(node.args[-1])  # type: ignore[arg-type]


def _as_number(argument: Any, text: str) -> str:
    """1 and 0 for a comparison that is calculated with."""
    is_mask = not isinstance(argument, bool | int | float) and op_name(argument) in _MASKS
    return f"pick({text}, splat(1), V{{}})" if is_mask else text


def _conversion(node: Node, value: Callable[[Any], str]) -> str:
    (source,) = node.all_input_nodes
    before, after = (n.meta["val"].dtype for n in (source, node))
    if not {before, after} <= {torch.float32, torch.float64} and op_name(source) not in _MASKS:
        raise Unsupported(f"a conversion from {before} to {after} has no vector form so far.")
    return _as_number(source, value(source))


def _expression(node: Node, value: Callable[[Any], str]) -> str:
    name = op_name(node)
    if name == "pow":
        if not isinstance(node.args[1], int | float):
            raise Unsupported("`pow` has a tensor as exponent; write exp(b * log(a)).")
        return _power(value(node.args[0]), node.args[1])
    if name == "clamp":
        return _clamp([None if a is None else value(a) for a in node.args])
    if name in CONSTANTS:
        return _constant(node)
    if name == "_to_copy":
        return _conversion(node, value)
    if name == "leaky_relu":
        x, slope = value(node.args[0]), value((*node.args, 0.01)[1])
        return f"pick({x} > 0, {x}, {slope} * {x})"
    if name not in _OPS:
        raise Unsupported(
            f"`{name or node.target}` has no vector form so far (compiled are: {', '.join(sorted(_OPS))}, pow, clamp)."
        )
    texts = [
        _as_number(a, value(a)) if name not in _MASKS and (name, k) != ("where", 0) else value(a)
        for k, a in enumerate(node.args)
    ]
    options = {key: option for key, option in node.kwargs.items() if option is not None}
    if alpha := options.pop("alpha", None):
        scaled = 0 if name == "rsub" else 1
        texts[scaled] += f" * {value(alpha)}"
    if options:
        raise Unsupported(f"`{name}` with {options} has no vector form so far.")
    if name in _DEFAULTS:
        extra = tuple(a for a in node.args if isinstance(a, int | float))
        if extra and extra != _DEFAULTS[name]:
            raise Unsupported(f"`{name}` with {extra} has no vector form so far, only with {_DEFAULTS[name]}.")
    return _OPS[name].format(*texts)


def _program(wanted: Iterable[Node], known: dict[Node, str]) -> tuple[list[str], dict[Node, str]]:
    """Statements that compute the wanted nodes from the known ones, and the name of every computed value."""
    names = dict(known)
    lines: list[str] = []

    def value(argument: Any) -> str:
        if isinstance(argument, bool | int | float):
            return _number(argument)
        return names[argument]

    stack = list(wanted)
    order: set[Node] = set()
    while stack:
        node = stack.pop()
        if node not in known and node not in order:
            order.add(node)
            stack.extend(operands(node))
    for node in next(iter(wanted)).graph.nodes if order else ():
        if node in order:
            names[node] = f"{op_name(node)}_{len(lines)}"
            lines.append(f"const {'M' if op_name(node) in _MASKS else 'V'} {names[node]} = {_expression(node, value)};")
    return lines, names


def _table(name: str, values: Sequence[int]) -> str:
    row = ", ".join(map(str, (*values, 0)))
    return f"    static constexpr int {name}(int i) {{ constexpr int t[] = {{{row}}}; return t[i]; }}"


def _forward(plan: Plan) -> list[str]:
    known = {node: f"{kind}[{k}]" for node, (kind, k) in plan.leaves.items()}
    lines, names = _program((*plan.new, *plan.saved), known)
    writes = [f"fresh[{k}] = {names[n]};" for k, n in enumerate(plan.new)]
    as_bits = {
        n: f"number({names[n]})" for n in plan.saved if op_name(n) in _MASKS
    }  # a mask is kept as the bits of a number
    writes += [f"save[{k}] = {as_bits.get(n, names[n])};" for k, n in enumerate(plan.saved)]
    head = "    INLINE void forward(const V* gate, const V* sum, const V* old, const V* vector, V* fresh, V* save) {"
    return [head, *(f"        {line}" for line in (*lines, *writes)), "    }"]


def _used(plan: Plan) -> set[Value]:
    wanted = [*(s.node for s in plan.slots), *plan.d_states, *plan.d_vectors]
    stack, seen = list(wanted), set()
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            if node not in plan.given:
                stack.extend(operands(node))
    return {value for node, value in plan.given.items() if node in seen}


def _backward(plan: Plan) -> list[str]:
    names_of = {"saved": "save", "old": "old", "new": "fresh", "vector": "vector", "d_new": "d_fresh"}
    known = {node: f"{names_of[kind]}[{k}]" for node, (kind, k) in plan.given.items()}
    known |= {node: f"bits(save[{k}])" for k, node in enumerate(plan.saved) if op_name(node) in _MASKS}
    lines, names = _program([*(s.node for s in plan.slots), *plan.d_states, *plan.d_vectors], known)
    writes = [f"d[{k}] = {names[s.node]};" for k, s in enumerate(plan.slots)]
    writes += [f"d_old[{k}] = {names[n]};" for k, n in enumerate(plan.d_states)]
    writes += [f"d_vector[{k}] = {names[n]};" for k, n in enumerate(plan.d_vectors)]
    head = [
        "    INLINE void backward(const V* save, const V* old, const V* fresh, const V* vector, const V* d_fresh,",
        "                         V* d, V* d_old, V* d_vector) {",
    ]
    return [*head, *(f"        {line}" for line in (*lines, *writes)), "    }"]


def cell_source(plan: Plan) -> str:
    """The part of the source that differs between cells."""
    states, products = range(len(plan.cell.states)), plan.products
    used = _used(plan)
    operand_slots = [
        [k for k, s in enumerate(plan.slots) if s.product is not None and products[s.product].operand == o]
        for o in states
    ]
    counts = {
        "GATES": len(plan.cell.gate_names),
        "PRODUCTS": len(products),
        "VECTORS": len(plan.vectors),
        "STATES": len(plan.cell.states),
        "SAVED": len(plan.saved),
        "SLOTS": len(plan.slots),
        "CHUNKS": len(plan.chunks),
        "UV": plan.panel_vectors,
    }
    tables: dict[str, list[int]] = {
        "chunk_state": [c[0] for c in plan.chunks],
        "chunk_first": [c[1] for c in plan.chunks],
        "chunk_size": [c[2] for c in plan.chunks],
        "is_operand": [int(any(p.operand == s for p in products)) for s in states],
        "product_state": [p.operand for p in products],
        "operand_slots": [len(slots) for slots in operand_slots],
        "operand_slot": [min(slots, default=0) for slots in operand_slots],
        "operand_first": [sum(len(slots) for slots in operand_slots[:s]) for s in states],
        "needs_old": [int(("old", s) in used) for s in states],
        "needs_new": [int(("new", s) in used) for s in states],
        "slot_gate": [-1 if s.gate is None else s.gate for s in plan.slots],
        "slot_product": [-1 if s.product is None else s.product for s in plan.slots],
    }
    return "\n".join(
        [
            f"// {plan.cell!r}: gates {', '.join(plan.cell.gate_names)}; states {', '.join(plan.cell.states)}",
            "struct Cell {",
            f"    static constexpr int {', '.join(f'{k} = {v}' for k, v in counts.items())};",
            *(_table(name, values) for name, values in tables.items()),
            *_forward(plan),
            *_backward(plan),
            "};",
        ]
    )


@cache
def skeleton() -> dict[str, str]:
    """The files of `native/` in order of inclusion, without the lines that only serve editors."""
    folder = Path(__file__).parent / "native"
    names = ("vector.h", "threads.h", "tile.h", "tiles.cpp", "layout.h", "forward.h", "backward.h")
    drop = ("#pragma once", '#include "')
    return {n: "".join(x for x in (folder / n).read_text().splitlines(True) if not x.startswith(drop)) for n in names}


def tiles() -> str:
    """The source of the tiles, which every kernel is linked to."""
    files = skeleton()
    return "\n".join(files[name] for name in ("vector.h", "tile.h", "tiles.cpp"))


def render(plan: Plan) -> str:
    """The source of a plan's kernel; see `native/` for the skeleton that it is set into."""
    files = skeleton()
    fields = "\n".join(f"    int64_t {name}{f'[Cell::{count} + 1]' if count else ''};" for name, count in CALL)
    call = f"struct Call {{  // every field is a number or an address\n{fields}\n}};"
    threads = (
        'extern "C" void gatework_threads(void* start, void* rank, void* size) {\n'
        "    team_start = (void (*)(Region, void*, unsigned, unsigned))start;\n"
        "    team_rank = (int (*)())rank;\n    team_size = (int (*)())size;\n}\n"
    )
    parts = [files["vector.h"], cell_source(plan), call, files["threads.h"], files["tile.h"], files["layout.h"]]
    return "\n".join([*parts, files["forward.h"], files["backward.h"], threads])
