"""What must hold between the parts of a cell; each refusal says what is wrong and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from gatework.cells import sizes
from gatework.cells.declarations import Declaration, Extra, Matrix, Noise
from gatework.cells.forms import FORMS
from gatework.errors import CellError

_TAKEN = ("raw", "_kind")  # of x: its raw features; of every `Named`: what it is called


def check(cell: Any, where: str) -> None:
    """Raise CellError unless a cell's parts fit together."""
    if not cell.states:
        raise CellError(f'{where}: no state. Name at least one: state = "h".')
    for kind, names in (("state", cell.states), ("gates", cell.gate_names)):
        if len(set(names)) != len(names):
            raise CellError(f"{where}: a name stands twice in {kind} = {names}.")
        if bad := [n for n in names if not str(n).isidentifier() or n in _TAKEN]:
            why = "is taken" if bad[0] in _TAKEN else "is not a Python name, so `step` could not use it"
            raise CellError(f"{where}: {bad[0]!r} in {kind} {why}.")
    for gate in (cell.forget_gate, cell.input_gate):
        if gate is not None and gate not in cell.gate_names:
            raise CellError(f"{where}: {gate!r} is named as a gate's role, but the gates are {cell.gate_names}.")
    _check_sizes(cell, where)
    for argument in cell.arguments:
        if argument not in cell.declared:
            near = difflib.get_close_matches(argument, cell.declared, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f' Declare it: {argument} = vector("i").'
            raise CellError(f"{where}: `step` takes {argument!r}, declared are: {', '.join(cell.declared)}.{hint}")
        _check_declaration(where, argument, cell.declared[argument], cell.gate_names)


def _check_sizes(cell: Any, where: str) -> None:
    known = {f"s.{name}" for name in cell.states} | {f"x.{name}" for name in cell.gate_names}
    for key in cell.sizes:
        if key not in known:
            raise CellError(f"{where}: sizes names {key!r}; there are {', '.join(sorted(known))}.")
    if not any(cell.sizes.get(f"s.{name}", "H") == "H" for name in cell.states):
        raise CellError(f"{where}: no state is H wide; call one state's size H and count the others from it.")
    taken = {key: cell.declared[key] for key in cell.arguments if key in cell.declared}
    given = [(key, size) for key, size in cell.sizes.items()]
    for key, declared in taken.items():
        given += [(f"{key}'s {part}", getattr(declared, part, 1)) for part in ("rows", "columns", "heads", "size")]
    for owner, size in given:
        if strange := sizes.names(size) - {"H", "I", *cell.options}:
            names = ", ".join(["H", "I", *cell.options])
            raise CellError(f"{where}: size {size!r} of {owner} names {strange.pop()!r}; known are {names}.")


def _check_declaration(where: str, key: str, declared: Declaration, gates: Sequence[str]) -> None:
    names = declared.names or (tuple(gates) if isinstance(declared, Matrix) else ())
    if not names and (key != "U" or declared.names):
        raise CellError(f'{where}: {key} declares no name. Name what `step` uses: {key} = ...("a").')
    if bad := [n for n in names if not isinstance(n, str) or not n.isidentifier() or n.startswith("_")]:
        raise CellError(f"{where}: {bad[0]!r} in {key} is not a Python name, so `step` could not use it.")
    if len(set(names)) != len(names):
        raise CellError(f"{where}: a name stands twice in {key} = {names}.")
    if isinstance(declared, Matrix) and declared.form.partition(":")[0] not in FORMS:
        raise CellError(f"{where}: {key} has form {declared.form!r}; expected one of {', '.join(FORMS)}.")
    if isinstance(declared, Extra) and isinstance(declared.default, str) and declared.default != "position":
        raise CellError(f'{where}: {key} has default {declared.default!r}; expected a number, "position" or None.')
    if isinstance(declared, Noise) and declared.per not in ("step", "sequence"):
        raise CellError(f'{where}: {key} is drawn per {declared.per!r}; expected "step" or "sequence".')
