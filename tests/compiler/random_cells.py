"""Random cells: the text of a `Cell` class for a seed, made of everything that the language has.

Every statement maps values of moderate size to values of moderate size, so that rounding errors of two backends stay
small over a few steps; where an operation jumps, its argument is unlikely to lie on the jump.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from gatework.cells import Cell
from tests.compiler.random_forms import KINKED, OUTSIDE, ROWS, ROWS_PER_HEAD, SMOOTH, TWO

# What a seed's cell is mostly made of; seed modulo their number chooses.
KINDS = ("pointwise", "inputs", "diagonal", "rows", "dependent", "widths", "everything")


@dataclass(frozen=True)
class RandomCell:
    """A cell class as text.

    Attributes:
        kind: one of `KINDS`.
        source: a module that defines the class `Random`.
        outside: an operation of `OUTSIDE` is in it, so that it may be refused.
        multiple: what the hidden size must be a multiple of.
    """

    kind: str
    source: str
    outside: bool
    multiple: int

    def make(self) -> Cell:
        """An instance of the class."""
        space: dict[str, type[Cell]] = {"__name__": "random_cell"}  # type: ignore[dict-item]
        exec(compile(self.source, "random_cell.py", "exec"), space)
        return space["Random"]()


def random_cell(seed: int) -> RandomCell:
    """The cell of a seed."""
    return _Draft(seed).finish()


@dataclass(frozen=True)
class _Value:
    """A local name of `step`, how many numbers a row it has, and how many products lie before it."""

    name: str
    width: str
    depth: int = 0


class _Draft:
    """A step under construction: what is declared, the statements so far, and the values that they may use."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.kind = KINDS[seed % len(KINDS)]
        self.outside = self.kind != "pointwise" and self.draw.random() < 0.1
        self.multiple = 2 if self.kind in ("rows", "widths", "everything") else 1
        self.declared: dict[str, str] = {}
        self.sizes: dict[str, str] = {}
        self.lines: list[str] = []
        self.values: list[_Value] = []
        self.used: set[str] = set()  # names that some statement reads
        self.widths = ["H"]
        if self.kind in ("widths", "everything"):
            self.widths += self.draw.sample(["H // 2", "K", "H + K"], self.draw.randint(1, 2))
        self.states = [f"s{k}" for k in range(self.draw.randint(1, 3))]
        self.gates = [f"g{k}" for k in range(self.draw.randint(1, 4))]

    def has(self, *kinds: str) -> bool:
        """Whether the cell is of one of these kinds, or of everything."""
        return self.kind in (*kinds, "everything")

    def add(self, text: str, width: str, depth: int = 0) -> _Value:
        """A statement that names a new value."""
        value = _Value(f"v{len(self.values)}", width, depth)
        self.lines.append(f"{value.name} = {text}")
        self.values.append(value)
        return value

    def pick(self, width: str | None = None, at_most: int = 4) -> _Value:
        """A value of a width (any width if None) that lies behind no more products than that."""
        fitting = [v for v in self.values if width in (None, v.width) and v.depth <= at_most]
        fresh = [v for v in fitting if v.name not in self.used]
        value = self.draw.choice(fresh if fresh and self.draw.random() < 0.8 else fitting)
        self.used.add(value.name)
        return value

    def leaves(self) -> None:
        """Name what a step is given: states, input products, vectors, further inputs, noise."""
        for name in self.states:
            self.add(f"s.{name}", self._size(f"s.{name}", free=name != self.states[0]))
        for name in self.gates:
            self.add(f"x.{name}", self._size(f"x.{name}"))
        if self.kind == "diagonal" or self.draw.random() < 0.4:
            names, width = [f"p{k}" for k in range(self.draw.randint(1, 2))], self.values[-1].width
            self.declared["p"] = f"vector({', '.join(map(repr, names))}, size={width!r})"
            for name in names:
                self.add(f"p.{name} * {self.pick(width).name}", width)
        if self.has("inputs"):
            self._further_inputs()

    def _size(self, key: str, free: bool = True) -> str:
        width = self.draw.choice(self.widths) if free else "H"
        if width != "H":
            self.sizes[key] = width
        return width

    def _further_inputs(self) -> None:
        size = self.draw.choice(["1", "H"])
        default = self.draw.choice(["None", "0.5", "'position'"] if size == "1" else ["None"])
        self.declared["e"] = f"per_step('dt', size={size!r}, default={default})"
        self.add("e.dt" if size == "H" else f"torch.sin(0.3 * e.dt) * {self.pick('H').name}", "H")
        if self.draw.random() < 0.6:
            per, width = self.draw.choice(["step", "sequence"]), self.draw.choice(self.widths)
            self.declared["n"] = f"noise('u', size={width!r}, per={per!r})"
            self.add(self.draw.choice(["0.5 * n.u", "(n.u > 0.4).to(n.u.dtype)"]), width)
        if self.kind == "everything" and self.draw.random() < 0.5:
            self.add("torch.tanh(x.raw).mean(-1, keepdim=True) * " + self.pick("H").name, "H")

    def product(self, width: str) -> _Value:
        """A recurrent product of this many rows, on an old state or, where that is allowed, on any value so far."""
        deep = self.has("dependent", "widths")
        operand = self.pick(None if deep else "H", at_most=3) if deep else self._old_state()
        key = f"M{len(self.declared)}" if "U" in self.declared else "U"
        shape = [f"rows={width!r}"] * (width != "H") + [f"columns={operand.width!r}"] * (operand.width != "H")
        if self.multiple == 2 and width == operand.width == "H" and self.draw.random() < 0.4:
            shape.append("heads=2")
        elif width == operand.width and self.draw.random() < 0.1:
            shape.append(f"form={self.draw.choice(['antisymmetric', 'upper'])!r}")
        if deep and self.draw.random() < 0.3:
            shape.append("bias=False")
        names = ["m0", "m1"] if self.draw.random() < 0.3 else ["m0"]
        self.declared[key] = f"matrix({', '.join([*map(repr, names), *shape])})"
        found = [self.add(f"{key}.{name} @ {operand.name}", width, operand.depth + 1) for name in names]
        gates = [v for v in self.values if v.width == width and "= x.g" in self.lines[int(v.name[1:])]]
        if gates and self.draw.random() < 0.8:
            return self.add(f"{self.draw.choice(gates).name} + {found[0].name}", width, found[0].depth)
        return found[0]

    def _old_state(self) -> _Value:
        return self.draw.choice(self.values[: len(self.states)])

    def statement(self) -> None:
        """One operation on values so far."""
        a = self.pick()
        forms = SMOOTH + KINKED + TWO
        if self.has("rows") and self.draw.random() < 0.4:
            forms = ROWS + (ROWS_PER_HEAD if a.width == "H" else ())
        b = self.pick(a.width)
        self.add(self.draw.choice(forms).format(a=a.name, b=b.name), a.width, max(a.depth, b.depth))

    def new_state(self, old: _Value) -> str:
        """An expression for a state's new value."""
        forms = ["torch.tanh({a})", "f * {old} + (1 - f) * {b}", "torch.sigmoid({a}) * torch.tanh({b})", "{a}"]
        a, b = self.pick(old.width), self.pick(old.width)
        form = self.draw.choice(forms).replace("f ", "torch.sigmoid({a}) ").replace("f)", "torch.sigmoid({a}))")
        text = form.format(a=a.name, b=b.name, old=old.name)
        left = [v.name for v in self.values if v.width == old.width and v.name not in self.used]
        self.used.update(left)
        return f"{text} + 0.3 * torch.tanh({' + '.join(left)})" if left else text

    def finish(self) -> RandomCell:
        """The whole cell."""
        self.leaves()
        olds = self.values[: len(self.states)]
        for _ in range(0 if self.kind == "diagonal" else self.draw.randint(1, 4)):
            self.product(self.draw.choice(olds).width)
            for _ in range(self.draw.randint(0, 2)):
                self.statement()
        for _ in range(self.draw.randint(2, 6)):
            self.statement()
        if self.outside:
            a = self.pick()
            self.add(self.draw.choice(OUTSIDE).format(a=a.name), a.width, a.depth)
        news = [self.new_state(old) for old in olds]
        self.lines.append(f"return ({', '.join(news)},)")
        return RandomCell(self.kind, self._source(), self.outside, self.multiple)

    def _source(self) -> str:
        body = [f"state = {tuple(self.states)!r}", f"gates = {tuple(self.gates)!r}"]
        if self.sizes:
            body.append(f"sizes = {self.sizes!r}")
        if "K" in self.widths or "H + K" in self.widths:
            body.append("K: int = 3")
        body += [f"{key} = {text}" for key, text in self.declared.items()]
        body += ["", f"def step(self, x, s{''.join(f', {key}' for key in self.declared)}):"]
        body += [f"    {line}" for line in self.lines]
        words = [w for w in ("matrix", "noise", "per_step", "vector") if any(w in t for t in self.declared.values())]
        head = [
            "import torch",
            "import torch.nn.functional as F",
            f"from gatework.cells import {', '.join(['Cell', *words])}",
        ]
        return "\n".join([*head, "", "", "class Random(Cell):", *(f"    {line}".rstrip() for line in body), ""])
