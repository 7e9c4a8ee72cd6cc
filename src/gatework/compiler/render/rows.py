"""C++ for one stage of a step: work on one row, in loops over its units between operations on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gatework.compiler.graph import CONSTANTS, Unsupported, arguments, is_row_operation, op_name, operands, size_of
from gatework.compiler.render.operations import MASKS, constant, expression, number

if TYPE_CHECKING:
    from torch.fx import Node

    from gatework.compiler.sizes import Sizes

_FOLDS = {"row_sum": ("V{}", "{0} + {1}", "sum_lanes"), "row_max": ("splat(-INF)", "vmax({0}, {1})", "max_lanes")}
_FOLDS["row_min"] = ("splat(INF)", "vmin({0}, {1})", "min_lanes")


class SizeTable:
    """The sizes that a kernel speaks of, as C++ expressions of H and I; `n[index]` at run time."""

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.formulas: list[str] = ["H", "I"]

    def index(self, size: int) -> int:
        """The position of a size seen in the trace."""
        formula = self.sizes.formula(size) if size else "0"
        if formula not in self.formulas:
            self.formulas.append(formula)
        return self.formulas.index(formula)

    def text(self, size: int) -> str:
        """How a size is written inside a stage."""
        return "1" if size == 1 else f"n[{self.index(size)}]"


@dataclass(frozen=True)
class Place:
    """Where a row lies: C++ of its first number; `padded` when whole vectors may be read and written there."""

    text: str
    padded: bool = True


@dataclass(frozen=True)
class Random:
    """Numbers that are made, not read: `key` is C++ of the generator's key."""

    key: str


@dataclass
class _Loop:
    size: int
    nodes: list[Node] = field(default_factory=list)
    folds: list[Node] = field(default_factory=list)
    copies: list[Node] = field(default_factory=list)


class RowProgram:
    """One stage as C++.

    Args:
        table: collects the sizes that are used.
        nodes: the values to compute, in order.
        passed: given values that are written again.
        given: where the other values come from.
        writes: where results go, each with "=" to store or "+=" to add.
    """

    def __init__(
        self,
        table: SizeTable,
        nodes: Sequence[Node],
        passed: Sequence[Node],
        given: Mapping[Node, Place | Random],
        writes: Mapping[Node, Sequence[tuple[Place, str]]],
    ) -> None:
        self.table, self.nodes, self.given, self.writes = table, nodes, given, writes
        self.phase: dict[Node, int] = {}  # from which phase on a value can be used
        self.starts: dict[
            int, list[Node]
        ] = {}  # work at the beginning of a phase: on numbers of a row and across units
        self.loops: dict[tuple[int, int], _Loop] = {}
        self.temps: dict[Node, int] = {}
        self.names: dict[Node, str] = {}
        for node in nodes:
            self._place(node)
        for node in passed:
            if op_name(node) not in CONSTANTS and size_of(node) == 1:
                self.starts.setdefault(0, []).append(node)
            else:
                self._loop(0, size_of(node)).copies.append(node)
        self._find_temps()

    def _loop(self, phase: int, size: int) -> _Loop:
        return self.loops.setdefault((phase, size), _Loop(size))

    def _ready(self, node: Node) -> int:
        return self.phase.get(node, 0)

    def _in_loop(self, node: Node) -> bool:
        """Whether this program computes a value in a loop over units."""
        return node in self.phase and size_of(node) > 1 and not is_row_operation(node)

    def _place(self, node: Node) -> None:
        inputs = operands(node)
        if is_fold(node):
            (row,) = inputs
            self._loop(self._ready(row), size_of(row)).folds.append(node)
            self.phase[node] = self._ready(row) + 1
            self.starts.setdefault(self.phase[node], []).append(node)
        elif is_row_operation(node):
            self.phase[node] = max((self._ready(a) + self._in_loop(a) for a in inputs), default=0)
            self.starts.setdefault(self.phase[node], []).append(node)
        elif size_of(node) == 1:
            self.phase[node] = max((self._ready(a) for a in inputs), default=0)
            self.starts.setdefault(self.phase[node], []).append(node)
        else:
            self.phase[node] = max((self._ready(a) for a in inputs), default=0)
            self._loop(self.phase[node], size_of(node)).nodes.append(node)

    def _temp(self, node: Node) -> str:
        self.temps.setdefault(node, len(self.temps))
        return f"r.temps + {self.temps[node]} * k.widest"

    def _find_temps(self) -> None:
        """Values that must lie in memory between phases."""
        mine = set(self.nodes)
        for node in self.nodes:
            if is_row_operation(node) and not is_fold(node):
                self._temp(node)
                for a in operands(node):
                    if op_name(a) in CONSTANTS or isinstance(self.given.get(a), Random):
                        raise Unsupported(f"`{op_name(node)}` of a constant or of noise is not compiled so far.")
                    if a in mine or not isinstance(self.given.get(a), Place):
                        self._temp(a)
            if is_fold(node) and not self._in_loop(arguments(node)[0]) and arguments(node)[0] in mine:
                self._temp(arguments(node)[0])
            for a in operands(node):
                if self._in_loop(a) and self.phase[a] < self.phase[node] and size_of(node) > 1 and not is_fold(node):
                    self._temp(a)

    def text(self) -> list[str]:
        """The body of the function."""
        lines: list[str] = []
        phases = sorted({*self.starts, *(p for p, _ in self.loops)})
        for phase in phases:
            for node in self.starts.get(phase, []):
                lines += self._start(node)
            for (p, _), loop in self.loops.items():
                if p == phase:
                    lines += self._loop_text(loop)
        return lines

    def _start(self, node: Node) -> list[str]:
        if is_fold(node):
            name = self._name(node)
            made = f"const V {name} = splat({_FOLDS[op_name(node)][2]}(acc_{name}));"
            return [made, *self._write_number(node)]
        if is_row_operation(node):
            return self._across(node)
        lines = []
        if node in self.phase:
            kind = "M" if op_name(node) in MASKS else "V"
            value = self._number_of
            lines = [f"const {kind} {self._name(node)} = {expression(node, value)};"]
        return lines + self._write_number(node)

    def _write_number(self, node: Node) -> list[str]:
        value = self._bits(node, self._number_of(node))
        places = list(self.writes.get(node, ()))
        if node in self.temps:
            places.append((Place(self._temp(node)), "="))
        return [f"({place.text})[0] {sign} {value}[0];" for place, sign in places]

    def _name(self, node: Node) -> str:
        return self.names.setdefault(node, f"{op_name(node) or 'v'}_{len(self.names)}")

    def _bits(self, node: Node, value: str) -> str:
        return f"number({value})" if op_name(node) in MASKS else value

    def _unbits(self, node: Node, value: str) -> str:
        return f"bits({value})" if op_name(node) in MASKS else value

    def _number_of(self, argument: Any) -> str:
        """C++ of a value that is one number in each row, or a constant."""
        if isinstance(argument, bool | int | float):
            return number(argument)
        if op_name(argument) in CONSTANTS:
            return constant(argument)
        if argument in self.phase:
            return self._name(argument)
        place = self.given[argument]
        if isinstance(place, Random):
            return f"splat(uniform({place.key}, 0)[0])"
        return self._unbits(argument, f"splat(({place.text})[0])")

    def _loop_text(self, loop: _Loop) -> list[str]:
        inside: set[Node] = set(loop.nodes)
        known: dict[Node, str] = {}
        body: list[str] = []
        n = self.table.text(loop.size)

        def value(argument: Any) -> str:
            if isinstance(argument, bool | int | float) or op_name(argument) in CONSTANTS or size_of(argument) == 1:
                return self._number_of(argument)
            if argument in inside:
                return self._name(argument)
            if argument not in known:
                known[argument] = f"in_{len(known)}"
                kind = "M" if op_name(argument) in MASKS else "V"
                body.append(f"const {kind} {known[argument]} = {self._unbits(argument, self._load(argument, n))};")
            return known[argument]

        for node in loop.nodes:
            kind = "M" if op_name(node) in MASKS else "V"
            text = expression(node, value)
            body.append(f"const {kind} {self._name(node)} = {text};")
            body += self._store(node, self._name(node), n)
        for node in loop.copies:
            body += self._store(node, value(node), n)
        for node in loop.folds:
            neutral, fold, _ = _FOLDS[op_name(node)]
            row = as_number(arguments(node)[0], value(arguments(node)[0]))
            accumulator = f"acc_{self._name(node)}"
            body.append(f"{accumulator} = {fold.format(accumulator, f'keep_or({row}, {n} - at, {neutral})')};")
        before = [f"V acc_{self._name(node)} = {_FOLDS[op_name(node)][0]};" for node in loop.folds]
        return [*before, f"for (long at = 0; at < {n}; at += L) {{", *(f"    {line}" for line in body), "}"]

    def _load(self, node: Node, n: str) -> str:
        if node in self.temps:
            return f"load({self._temp(node)} + at)"
        place = self.given[node]
        if isinstance(place, Random):
            return f"uniform({place.key}, at)"
        return f"load({place.text} + at)" if place.padded else f"load_upto({place.text} + at, {n} - at)"

    def _store(self, node: Node, value: str, n: str) -> list[str]:
        places = list(self.writes.get(node, ()))
        if node in self.temps:
            places.append((Place(self._temp(node)), "="))
        lines = []
        for place, sign in places:
            to, what = f"{place.text} + at", self._bits(node, value)
            if sign == "+=":
                what = f"load({to}) + {what}"
            lines.append(f"store({to}, {what});" if place.padded else f"store_upto({to}, {what}, {n} - at);")
        return lines

    def _across(self, node: Node) -> list[str]:
        """An operation over the units of rows that lie in memory."""
        name, to, n = op_name(node), self._temp(node), self.table.text(size_of(node))
        rows = []
        for a in arguments(node):
            if a in self.temps:
                rows.append(self._temp(a))
            else:
                place = self.given[a]
                assert isinstance(place, Place)
                rows.append(place.text)
        if name == "join":
            lines, start = [], "0"
            for a, row in zip(arguments(node), rows, strict=True):
                size = self.table.text(size_of(a))
                lines.append(f"memcpy({to} + {start}, {row}, {size} * sizeof(real));")
                start += f" + {size}"
        elif name == "cut":
            lines = [f"memcpy({to}, {rows[0]} + {self._start_of(node)}, {n} * sizeof(real));"]
        elif name == "pad":
            lines = [f"memset({to}, 0, {n} * sizeof(real));"]
            size = self.table.text(size_of(operands(node)[0]))
            lines.append(f"memcpy({to} + {self._start_of(node)}, {rows[0]}, {size} * sizeof(real));")
        else:
            inner = self.table.text(node.meta["inner"])
            size = self.table.text(size_of(operands(node)[0])) if name.startswith("row_") or name == "fold" else n
            lines = [f"{name}({to}, {rows[0]}, {size}, {inner});"]
        for place, sign in self.writes.get(node, ()):
            lines.append(f"copy_row({place.text}, {to}, {n}, {'true' if sign == '+=' else 'false'});")
        if size_of(node) == 1:
            lines.append(f"const V {self._name(node)} = splat(({to})[0]);")
        return lines

    def _start_of(self, node: Node) -> str:
        return "0" if not node.meta["start"] else self.table.text(node.meta["start"]) if node.meta["start"] > 1 else "1"


def is_fold(node: Node) -> bool:
    """Whether a node is one number of a whole row: such work happens within the loop that makes the row."""
    return op_name(node) in _FOLDS and size_of(node) == 1 and size_of(arguments(node)[0]) > 1


def as_number(argument: Any, text: str) -> str:
    """1 and 0 for a comparison that is calculated with."""
    return f"pick({text}, splat(1), V{{}})" if op_name(argument) in MASKS else text
