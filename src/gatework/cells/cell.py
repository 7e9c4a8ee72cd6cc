"""`Cell`: a recurrent cell as its equations for one time step, and the declarations that go with them."""

from __future__ import annotations

import copy
import difflib
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from gatework.cells import sizes
from gatework.cells.declarations import Declaration, Matrix, Named
from gatework.cells.rules import check
from gatework.cells.sizes import Size
from gatework.errors import CellError

_RESERVED = ("self", "x", "s")
_D = TypeVar("_D", bound=Declaration)


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


class Cell:
    """Base of every recurrent cell: subclass it, name states and gates, write `step`.

    Class attributes:
        state: name or names of the state vectors, each [B, H]; the first is the cell's output.
        gates: names of the input products; `x.<gate>` is `W x + b` of that gate, [B, H]. `x.raw` is x itself, [B, I].
        sizes: widths of states and gates that are not H, such as {"s.h": "proj_size", "x.z": 1}; a size is "H", "I", a
            number, an option's name, or `+ - * //` of them. At least one state is H wide.
        U: the recurrent matrices, `matrix(*gates)` by default; `U.<gate> @ v` is `U v + b`.
        forget_gate, input_gate: names of the gates that bias initialisation speaks of, where the cell has them.
        name: the name in the catalogue; the class name in kebab-case by default.
    Other declarations (`matrix`, `vector`, `per_step`, `noise`) are passed to `step` under the name they were given,
    and plain annotated attributes (`beta: float = 1.0`) are options that the constructor takes.

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
    listed: ClassVar[bool] = True  # False keeps a class of this folder out of the catalogue
    state: ClassVar[str | Sequence[str]] = ()
    gates: ClassVar[str | Sequence[str]] = ()
    forget_gate: ClassVar[str | None] = None
    input_gate: ClassVar[str | None] = None
    options: ClassVar[tuple[str, ...]] = ()

    # of the class; of the instance where `declare` makes them depend on options
    sizes: Mapping[str, Size] = {}
    states: tuple[str, ...] = ()
    gate_names: tuple[str, ...] = ()
    declared: Mapping[str, Declaration] = {}
    arguments: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = _kebab(cls.__name__)
        cls.options = tuple(
            key
            for base in reversed(cls.__mro__)
            if issubclass(base, Cell) and base is not Cell
            for key in inspect.get_annotations(base)
            if not isinstance(getattr(cls, key, None), Declaration)
            and not key.startswith("_")
            and key not in inspect.get_annotations(Cell)
        )
        declared = {
            key: value
            for base in reversed(cls.__mro__)
            for key, value in vars(base).items()
            if isinstance(value, Declaration)
        }
        _set(cls, cls.state, cls.gates, cls.sizes, declared)
        where = f"cell {cls.__name__}"
        if "step" not in {key for base in cls.__mro__ if base is not Cell for key in vars(base)}:
            raise CellError(f"{where}: no `step`. Write: def step(self, x, s, U): ... return {', '.join(cls.states)}")
        arguments = tuple(inspect.signature(cls.step).parameters)
        if arguments[: len(_RESERVED)] != _RESERVED:
            raise CellError(f"{where}: step{arguments} must begin with (self, x, s): input products, then states.")
        cls.arguments = arguments[len(_RESERVED) :]
        if cls.declare is Cell.declare:
            check(cls, where)

    def __init__(self, **options: Any) -> None:
        for key, value in options.items():
            if key not in self.options:
                near = difflib.get_close_matches(key, self.options, 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                known = ", ".join(self.options) or "none"
                raise CellError(f"cell {self.name} has no option {key!r}; it has: {known}.{hint}")
            setattr(self, key, value)
        if missing := [key for key in self.options if not hasattr(self, key)]:
            raise CellError(f"cell {self.name} needs its option {missing[0]!r}; give {missing[0]}=... to the cell.")
        self.check_options()
        if further := self.declare():
            declared = {**self.declared, **{k: v for k, v in further.items() if isinstance(v, Declaration)}}
            absent = {k for k, v in further.items() if v is None}
            declared = {k: v for k, v in declared.items() if k not in absent}
            self.arguments = tuple(key for key in self.arguments if key not in absent)
            parts = {key: further.get(key, getattr(self, key)) for key in ("state", "gates", "sizes")}
            if odd := [k for k, v in further.items() if not isinstance(v, Declaration | None) and k not in parts]:
                raise CellError(f"cell {self.name}: `declare` gave {odd[0]!r}; expected matrix(...) or its like.")
            if "U" not in further and "U" not in {k for base in type(self).__mro__ for k in vars(base)}:
                del declared["U"]  # it named the gates of the class
            _set(self, parts["state"], parts["gates"], parts["sizes"], declared)
        if type(self).declare is not Cell.declare:
            check(self, f"cell {type(self).__name__}")

    def check_options(self) -> None:
        """Raise CellError when an option's value is out of range; a cell with options overrides this."""

    def declare(self) -> Mapping[str, Any]:
        """Declarations that depend on options, by name; they replace the class's. May give state, gates and sizes too.

        None takes one away: `step` then receives nothing under that argument. Called once, after the options were set
        and checked.
        """
        return {}

    def initialise(self, parameters: Mapping[str, Tensor], hidden_size: int, input_size: int) -> None:
        """Change starting values in place, after the layer drew every parameter from its uniform distribution.

        Args:
            parameters: views by name: "x.i" [width, I], the weight of an input product; "bias.i" [width], its bias;
                "U.i" the parameter of a matrix [rows, columns / heads] and "bias.U.i" [rows] its bias; "p.i" [size] a
                vector. A layer without biases gives none; buffers (learned=False) are there and start as zeros.
            hidden_size: H of this layer.
            input_size: I of this layer.
        """

    def drop(self, candidate: Tensor) -> Tensor:
        """Mark what a step would write into its memory, so that a layer can drop it at random (recurrent dropout).

        `c = f * s.c + i * self.drop(tanh(...))`. Does nothing by itself.
        """
        return candidate

    def step(self, x: Any, s: Any, /, *declared: Any) -> Any:
        """One time step: new states from input products `x` and old states `s`; every cell writes its own."""
        raise CellError(f"cell {self.name} has no `step`.")  # unreachable through a checked subclass

    def expression(self, kind: str, name: str) -> Size:
        """The declared size of a state (kind "s") or gate ("x")."""
        return self.sizes.get(f"{kind}.{name}", "H")

    def measure(self, expression: Size, hidden_size: int, input_size: int) -> int:
        """The width that a size means.

        Raises InputError for a width below 1 and for a division that leaves a rest.
        """
        # what most sizes are, without the parser, which torch.compile cannot follow
        plain = hidden_size if expression == "H" else input_size if expression == "I" else expression
        if isinstance(plain, int) and plain >= 1:
            return plain
        options = {key: getattr(self, key) for key in self.options}
        return sizes.evaluate(expression, {"H": hidden_size, "I": input_size} | options, f"cell {self.name}")

    def heads_of(self, key: str, hidden_size: int, input_size: int) -> int:
        """Blocks of a declared matrix: 1 for a dense one."""
        declared = self.declared[key]
        return self.measure(declared.heads, hidden_size, input_size) if isinstance(declared, Matrix) else 1

    def entries(self, kind: type[_D]) -> tuple[tuple[str, str, _D], ...]:
        """(declaration's name, entry's name, declaration) of everything of a kind that `step` takes, in its order."""
        taken = [(key, self.declared[key]) for key in self.arguments]
        return tuple((key, name, d) for key, d in taken if isinstance(d, kind) for name in self.entry_names(key))

    def entry_names(self, key: str) -> tuple[str, ...]:
        """The names of one declaration's entries; for a matrix that names none, all gates."""
        declared = self.declared[key]
        return declared.names or (self.gate_names if isinstance(declared, Matrix) else ())

    def with_heads(self, heads: int) -> Cell:
        """The same cell with block-diagonal recurrent matrices U."""
        if "U" not in self.arguments or not isinstance(self.declared["U"], Matrix):
            raise CellError(f"cell {self.name} takes no recurrent matrices U, so heads={heads} would do nothing.")
        changed = copy.copy(self)
        changed.declared = {**self.declared, "U": replace(self.declared["U"], heads=heads)}
        return changed

    def apply(
        self,
        x: Mapping[str, Tensor],
        s: Mapping[str, Tensor],
        declared: Mapping[str, Mapping[str, Any]],
    ) -> tuple[Tensor, ...]:
        """Call `step` with its arguments by name; the new states as a checked tuple, each of its old one's shape.

        Args:
            x: the input products by gate, and "raw", the input itself.
            s: old states by name.
            declared: what `step` takes after them, by declaration and name.
        """
        arguments = [Named(key, declared.get(key, {})) for key in type(self).arguments]
        try:
            result = self.step(Named("x", x), Named("s", s), *arguments)
        except (AttributeError, RuntimeError, TypeError) as error:
            error.add_note(f"in `step` of cell {self.name}: {self._shapes(x, s)}.")
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
                got, expected = tuple(new.shape), f"{tuple(old.shape)} = [B, {self.expression('s', name)}]"
                raise CellError(f"{where} returned {name} of shape {got}; expected {expected}.")
        return tuple(result)

    def _shapes(self, x: Mapping[str, Tensor], s: Mapping[str, Tensor]) -> str:
        shape = tuple(next(iter(s.values())).shape)
        if not self.sizes:
            return f"x.<gate>, s.<state> and U.<name> @ v are each {shape} = [B, H]"
        each = [f"x.{n} {tuple(v.shape)}" for n, v in x.items()] + [f"s.{n} {tuple(v.shape)}" for n, v in s.items()]
        return f"[B, H] and other widths: {', '.join(each)}"

    def __repr__(self) -> str:
        options = ", ".join(f"{key}={getattr(self, key)!r}" for key in self.options)
        return f"{type(self).__name__}({options})"


def _set(cell: Any, state: Any, gates: Any, widths: Mapping[str, Size], declared: dict[str, Declaration]) -> None:
    """Set what follows from a cell's declarations, on its class or on an instance."""
    cell.states, cell.gate_names, cell.sizes = _names(state), _names(gates), dict(widths)
    square = tuple(gate for gate in cell.gate_names if cell.sizes.get(f"x.{gate}", "H") == "H")
    cell.declared = {**declared, "U": declared.get("U", Matrix(square))}
