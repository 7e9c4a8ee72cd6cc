"""A setting as help, YAML comments and error messages show it, read off a pydantic model."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_WORDS = {"int": "whole number", "float": "number", "str": "text"}
_MANY = {"whole number": "whole numbers", "number": "numbers", "text": "names"}


@dataclass(frozen=True)
class Setting:
    """One setting."""

    name: str
    group: str
    type_text: str
    default: Any
    unit: str
    help: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    optional: bool
    many: bool
    above: bool

    @property
    def expected(self) -> str:
        """`int, 1 or more` and the like."""
        text = self.type_text + (f" [{self.unit}]" if self.unit else "")
        if self.minimum is not None and self.maximum is not None:
            return f"{text}, {'above ' if self.above else ''}{self.minimum:.10g} to {self.maximum:.10g}"
        if self.minimum is not None:
            return f"{text}, above {self.minimum:.10g}" if self.above else f"{text}, {self.minimum:.10g} or more"
        return text


def fields(config: type[BaseModel]) -> list[Setting]:
    """The settings of `config`: its own before inherited ones, those outside a group before the groups."""
    single, grouped = [], []
    own = list(vars(config).get("__annotations__", {}))
    names = [*(name for name in own if name in config.model_fields), *config.model_fields]
    for name in dict.fromkeys(names):
        info = config.model_fields[name]
        if inner := _group(info):
            defaults = info.get_default(call_default_factory=True)
            for leaf, inner_info in inner.model_fields.items():
                grouped.append(_field(leaf, name, inner_info, getattr(defaults, leaf)))
        else:
            single.append(_field(name, "", info, info.get_default(call_default_factory=True)))
    return single + grouped


def _group(info: FieldInfo) -> type[BaseModel] | None:
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _field(name: str, group: str, info: FieldInfo, default: Any) -> Setting:
    parts = _alternatives(info.annotation)
    bounds: dict[str, float] = {}
    for entry in [*info.metadata, *(extra for part in parts for extra in getattr(part, "__metadata__", ()))]:
        for limit in getattr(entry, "metadata", [entry]):
            for word in ("ge", "gt", "le", "lt"):
                if (bound := getattr(limit, word, None)) is not None:
                    bounds[word] = bound
    bare = [typing.get_args(part)[0] if typing.get_origin(part) is Annotated else part for part in parts]
    choices = tuple(str(word) for part in bare if typing.get_origin(part) is Literal for word in typing.get_args(part))
    many = any(typing.get_origin(part) in (list, tuple) for part in bare)
    words = [_type_word(part) for part in bare if part is not type(None)]
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    return Setting(
        name=name,
        group=group,
        type_text=" or ".join(words),
        default=default,
        unit=str(extra.get("unit", "")),
        help=info.description or "",
        minimum=bounds.get("ge", bounds.get("gt")),
        maximum=bounds.get("le", bounds.get("lt")),
        choices=choices,
        optional=type(None) in bare,
        many=many,
        above="gt" in bounds,
    )


def _alternatives(kind: Any) -> list[Any]:
    return list(typing.get_args(kind)) if typing.get_origin(kind) in (typing.Union, types.UnionType) else [kind]


def _type_word(part: Any) -> str:
    if typing.get_origin(part) is Literal:
        return ", ".join(str(word) for word in typing.get_args(part))
    if typing.get_origin(part) in (list, tuple):
        return f"list of {_MANY.get(_type_word(typing.get_args(part)[0]), 'values')}"
    name = str(getattr(part, "__name__", part))
    return str(_WORDS.get(name, name))
