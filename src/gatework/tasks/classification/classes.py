"""The classes of a classification: which there are, in which order, and how many a text has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gatework.errors import ConfigError, InputError
from gatework.say import say
from gatework.tasks.classification.scores import Truth

if TYPE_CHECKING:
    from gatework.data.text import Documents

Kind = Literal["binary", "multi-class", "multi-label", "ordinal"]

_SHOWN = 8  # classes named in a message
_MOST_RANKS = 20  # whole numbers up to so many may be ranks


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        kind: binary, multi-class: one class a text; ordinal: one, and the classes are ranks; multi-label: any number.
        names: of the classes: numbers by size, other names by alphabet; of an ordinal kind from the lowest rank up.
        separator: what joins several labels in a table of answers.
    """

    kind: Kind
    names: tuple[str, ...]
    separator: str = ","

    @classmethod
    def of(cls, documents: Documents, kind: str, order: Sequence[str] = (), separator: str | None = None) -> Classes:
        """Those of labelled documents; what is inferred is said.

        Args:
            documents: the labelled texts.
            kind: one of `Kind`, or "auto": multi-label where a text has none or several labels, else binary or
                multi-class by their number.
            order: the classes, all of them; none = those that occur.
            separator: what joins labels in answers; None = a comma.

        Raises:
            ConfigError: `kind` does not fit the labels, or the order of ranks is not known.
            InputError: fewer than two classes, or a label that is not in `order`.
        """
        labels = documents.labels or []
        found = Counter(name for own in labels for name in own)
        names = tuple(order) or _ordered(found)
        if len(names) < 2:
            raise InputError(
                f"every text has the label {names[0]!r}; expected two classes or more."
                if names
                else "no text has a label."
            )
        single = all(len(own) == 1 for own in labels)
        decided = _kind(kind, len(names), single)
        if decided == "ordinal" and not order and not all(_is_number(name) for name in names):
            raise ConfigError(
                f"kind is ordinal, but the order of {_list(names)} is not known; give it from the lowest rank up: "
                f"classes={','.join(names)}."
            )
        classes = cls(decided, names, separator or ",")
        classes.targets(documents)
        ranked = f", {names[0]} the lowest and {names[-1]} the highest" if decided == "ordinal" else ""
        say(f"{decided}: {len(names)} classes{ranked}")
        if kind == "auto" and decided == "multi-class" and _may_be_ranks(names):
            say(
                f"the classes are whole numbers, {names[0]} to {names[-1]}; if they are ranks (stars), set kind ordinal"
            )
        return classes

    @property
    def several(self) -> bool:
        """Whether a text may have any number of labels."""
        return self.kind == "multi-label"

    def __len__(self) -> int:
        return len(self.names)

    def targets(self, documents: Documents) -> Truth:
        """Labels as numbers: int64 [N], or bool [N, K] where a text may have several.

        Raises:
            InputError: documents without labels, a label that is none of the classes, several where one is expected.
        """
        if documents.labels is None:
            raise InputError("these texts have no labels; expected a column (or folders, or keys) of labels as in fit.")
        number = {name: place for place, name in enumerate(self.names)}
        for own, place in zip(documents.labels, documents.places, strict=True):
            unknown = [name for name in own if name not in number]
            if unknown:
                raise InputError(
                    f"{place}: the label {unknown[0]!r} is none of the classes {_list(self.names)}. "
                    "Expected one of them; mend the label, or leave the row out."
                )
            if not self.several and len(own) != 1:
                raise InputError(f"{place}: {len(own)} labels; expected one of {_list(self.names)}.")
        if not self.several:
            return np.array([number[own[0]] for own in documents.labels], dtype=np.int64)
        truth = np.zeros((len(documents.labels), len(self.names)), dtype=np.bool_)
        for row, own in enumerate(documents.labels):
            truth[row, [number[name] for name in own]] = True
        return truth

    def said(self, chosen: Truth) -> list[str]:
        """What `chosen` (as of `targets`) is called, a text each; several labels are joined by the separator."""
        if not self.several:
            return [self.names[int(each)] for each in chosen]
        return [
            self.separator.join(name for name, there in zip(self.names, row, strict=True) if there) for row in chosen
        ]

    def weights(self, truth: Truth) -> NDArray[np.float64]:
        """Weights [K] that make classes count alike: N / (K n_k), scikit-learn's "balanced"; of labels n_- / n_+."""
        if self.several:
            there = np.maximum(truth.sum(0), 1)
            return np.asarray((len(truth) - truth.sum(0)) / there)
        size = np.bincount(truth, minlength=len(self))
        return len(truth) / (len(self) * np.maximum(size, 1))

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, "names": list(self.names), "separator": self.separator}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Classes:
        """What `to_json` gave; KeyError, TypeError or ValueError when it is not that."""
        if value["kind"] not in get_args(Kind) or len(value["names"]) < 2:
            raise ValueError(f"{len(value['names'])} classes of kind {value['kind']!r}")
        return cls(value["kind"], tuple(map(str, value["names"])), str(value["separator"]))


def _kind(kind: str, classes: int, single: bool) -> Kind:
    if kind == "auto":
        return "multi-label" if not single else "binary" if classes == 2 else "multi-class"
    if kind != "multi-label" and not single:
        raise ConfigError(
            f"kind is {kind}, but some texts have no label or several; expected kind multi-label, or auto."
        )
    if kind == "binary" and classes != 2:
        raise ConfigError(f"kind is binary, but there are {classes} classes; expected kind multi-class, or auto.")
    return kind  # type: ignore[return-value]  # one of Kind: the settings are checked


def _ordered(names: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=float if all(map(_is_number, names)) else str))


def _is_number(name: str) -> bool:
    try:
        return float(name) == float(name)
    except ValueError:
        return False


def _may_be_ranks(names: Sequence[str]) -> bool:
    numbers = [int(name) for name in names if name.lstrip("-").isdecimal()]
    ranks = list(range(numbers[0], numbers[0] + len(numbers))) if numbers else []
    return len(numbers) == len(names) and 3 <= len(names) <= _MOST_RANKS and numbers == ranks


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" ... ({len(names)} in all)" if len(names) > _SHOWN else "")
