"""`Cell`: a recurrent cell as its equations for one time step, and the declarations that go with them."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from gatework.errors import CellError

_RESERVED = ("self", "x", "s")


class Named:
    """Values under the names that a cell declared: `x.i`, `s.h`, `U.f`, `p.o`."""

    def __init__(self, kind: str, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)
        self.__dict__["_kind"] = kind

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        kind, have = self._kind, ", ".join(n for n in self.__dict__ if n != "_kind")
        raise CellError(f"`{kind}.{name}` is used in `step`, but {kind} has only: {have}. Declare {name} in the cell.")


class Declaration:
    """Learned parameters of a cell, one for each name; see `matrix` and `vector`."""

    def __init__(self, names: Sequence[str], start: float | None) -> None:
        self.names = tuple(names)
        self.start = start


class Matrix(Declaration):
    """Square matrices [H, H] with their biases [H]."""


class Vector(Declaration):
    """Vectors [H]."""


def matrix(*names: str) -> Any:
    """Declare one recurrent matrix [H, H] (with a bias [H] where the layer has biases) for each name.

    In `step`, `U.i @ s.h` is the affine map of a state [B, H]. Every cell has `U = matrix(*gates)` unless it says so.
    """
    return Matrix(names, None)


def vector(*names: str, start: float | None = None) -> Any:
    """Declare one learned vector [H] for each name; `p.i` in `step`.

    `start` is the value at initialisation; None draws from the layer's usual uniform distribution.
    """
    return Vector(names, start)


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


class Cell:
    """Base of every recurrent cell: subclass it, name states and gates, write `step`.

    Class attributes:
        state: name or names of the state vectors, each [B, H]; the first is the cell's output.
        gates: names of the input products; `x.<gate>` is `W x + b` of that gate, [B, H].
        U: the recurrent matrices, `matrix(*gates)` by default; `U.<gate> @ v` is `U v + b`.
        forget_gate, input_gate: names of the gates that bias initialisation speaks of, where the cell has them.
        name: the name in the catalogue; the class name in kebab-case by default.
    Other `matrix(...)` and `vector(...)` declarations are passed to `step` under the name they were given, and plain
    annotated attributes (`beta: float = 1.0`) are options that the constructor takes.

    `step(self, x, s, U, ...)` returns the new states in the order of `state`. It is ordinary PyTorch on one time step.

    Raises CellError when the class is defined, if its parts do not fit together.

    Example:
        >>> from torch import sigmoid, tanh
        >>> class Leaky(Cell):
        ...     state = "h"
        ...     gates = "f", "g"
        ...     def step(self, x, s, U):
        ...         f = sigmoid(x.f + U.f @ s.h)
        ...         return f * s.h + (1 - f) * tanh(x.g + U.g @ s.h)
        >>> Leaky.name
        'leaky'
    """

    name: ClassVar[str] = "cell"
    state: ClassVar[str | Sequence[str]] = ()
    gates: ClassVar[str | Sequence[str]] = ()
    forget_gate: ClassVar[str | None] = None
    input_gate: ClassVar[str | None] = None

    states: ClassVar[tuple[str, ...]] = ()
    gate_names: ClassVar[tuple[str, ...]] = ()
    declared: ClassVar[dict[str, Declaration]] = {}
    arguments: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = _kebab(cls.__name__)
        cls.states, cls.gate_names = _names(cls.state), _names(cls.gates)
        cls.declared = {
            key: value
            for base in reversed(cls.__mro__)
            for key, value in vars(base).items()
            if isinstance(value, Declaration)
        }
        cls.declared.setdefault("U", Matrix(cls.gate_names, None))
        cls.options = tuple(
            key
            for base in reversed(cls.__mro__)
            if issubclass(base, Cell) and base is not Cell
            for key in inspect.get_annotations(base)
            if not isinstance(getattr(cls, key, None), Declaration) and not key.startswith("_")
        )
        cls._check()

    @classmethod
    def _check(cls) -> None:
        where = f"cell {cls.__name__}"
        if not cls.states:
            raise CellError(f'{where}: no state. Name at least one: state = "h".')
        for kind, names in (("state", cls.states), ("gates", cls.gate_names)):
            if len(set(names)) != len(names):
                raise CellError(f"{where}: a name stands twice in {kind} = {names}.")
            if bad := [n for n in names if not str(n).isidentifier()]:
                raise CellError(f"{where}: {bad[0]!r} in {kind} is not a Python name, so `step` could not use it.")
        for gate in (cls.forget_gate, cls.input_gate):
            if gate is not None and gate not in cls.gate_names:
                raise CellError(f"{where}: {gate!r} is named as a gate's role, but the gates are {cls.gate_names}.")
        if "step" not in {key for base in cls.__mro__ if base is not Cell for key in vars(base)}:
            raise CellError(f"{where}: no `step`. Write: def step(self, x, s, U): ... return {', '.join(cls.states)}")
        arguments = tuple(inspect.signature(cls.step).parameters)
        if arguments[: len(_RESERVED)] != _RESERVED:
            raise CellError(f"{where}: step{arguments} must begin with (self, x, s): input products, then states.")
        cls.arguments = arguments[len(_RESERVED) :]
        for argument in cls.arguments:
            if argument not in cls.declared:
                near = difflib.get_close_matches(argument, cls.declared, 1)
                hint = f" Did you mean {near[0]!r}?" if near else f' Declare it: {argument} = vector("i").'
                raise CellError(f"{where}: `step` takes {argument!r}, declared are: {', '.join(cls.declared)}.{hint}")

    def __init__(self, **options: Any) -> None:
        for key, value in options.items():
            if key not in self.options:
                near = difflib.get_close_matches(key, self.options, 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                known = ", ".join(self.options) or "none"
                raise CellError(f"cell {self.name} has no option {key!r}; it has: {known}.{hint}")
            setattr(self, key, value)
        self.check_options()

    def check_options(self) -> None:
        """Raise CellError when an option's value is out of range; a cell with options overrides this."""

    def step(self, x: Any, s: Any, /, *declared: Any) -> Any:
        """One time step: new states from input products `x` and old states `s`; every cell writes its own."""
        raise CellError(f"cell {self.name} has no `step`.")  # unreachable through a checked subclass

    def apply(
        self,
        x: Mapping[str, Tensor],
        s: Mapping[str, Tensor],
        declared: Mapping[str, Mapping[str, Any]],
    ) -> tuple[Tensor, ...]:
        """Call `step` with its arguments by name and return the new states as a checked tuple of [B, H]."""
        arguments = [Named(key, declared[key]) for key in self.arguments]
        try:
            result = self.step(Named("x", x), Named("s", s), *arguments)
        except (AttributeError, RuntimeError, TypeError) as error:
            shape = tuple(next(iter(s.values())).shape)
            error.add_note(
                f"in `step` of cell {self.name}: x.<gate>, s.<state> and U.<name> @ v are each {shape} = [B, H]."
            )
            raise
        if isinstance(result, Tensor):
            result = (result,)
        where, names = f"cell {self.name}: `step`", ", ".join(self.states)
        if not isinstance(result, tuple | list) or not all(isinstance(r, Tensor) for r in result):
            raise CellError(f"{where} must return {len(self.states)} tensor(s) ({names}), not {result!r}.")
        if len(result) != len(self.states):
            raise CellError(f"{where} returned {len(result)} states; declared are {len(self.states)}: {names}.")
        for name, old, new in zip(self.states, s.values(), result, strict=True):
            if new.shape != old.shape:
                got, expected = tuple(new.shape), tuple(old.shape)
                raise CellError(f"{where} returned {name} of shape {got}; expected {expected} = [B, H].")
        return tuple(result)

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={getattr(self, key)!r}" for key in self.options)
        return f"{type(self).__name__}({options})"
