"""Settings of an application: one pydantic model is the constructor's words, the YAML file and the flags.

Every setting has a name of its own (a leaf) and may stand in a group: `hidden_size`, `model.hidden_size`,
`model__hidden_size`, `hidden-size` and `{"model": {"hidden_size": 64}}` are the same setting. `settle` is the one
checker of names, `check` the one checker of values, wherever the settings come from.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from gatework.errors import ConfigError
from gatework.tasks.setting import Setting, fields

Model = TypeVar("Model", bound=BaseModel)


def settle(
    config: type[BaseModel],
    given: Mapping[str, Any],
    source: str = "the arguments",
    spelt: Callable[[str], str] = repr,
) -> dict[str, Any]:
    """`given` as a flat {setting: value}; names are checked, values are not.

    Args:
        config: the application's model.
        given: settings by leaf name, dotted name or nested by group; hyphens count as underscores.
        source: where they come from, for the message; "" says nothing of it.
        spelt: how the message spells a setting's name.

    Raises:
        ConfigError: an unknown name (with the nearest known one), or a setting given twice.
    """
    known = {field.name: field for field in fields(config)}
    groups = {field.group for field in known.values()} - {""}
    flat: dict[str, Any] = {}
    for path, value in _leaves(given, groups):
        *above, name = path
        group = ".".join(above)
        if name not in known or group not in ("", known[name].group):
            raise ConfigError(_begun(source) + _unknown(".".join(path), known, spelt))
        if name in flat:
            raise ConfigError(f"{_begun(source)}the setting {spelt(name)} is given twice; keep one of them.")
        flat[name] = value
    return flat


def check(
    config: type[Model],
    flat: Mapping[str, Any],
    source: str = "the arguments",
    spelt: Callable[[str], str] = str,
) -> Model:
    """The validated model of settled settings; text is read as the setting's type ("24", "0.1,0.5,0.9", "none").

    Args:
        config: the application's model.
        flat: what `settle` gave.
        source: as for `settle`.
        spelt: as for `settle`.

    Raises:
        ConfigError: naming every value that does not fit: what came, what is expected, what it is for.
    """
    known = {field.name: field for field in fields(config)}
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        field = known[name]
        place = nested.setdefault(field.group, {}) if field.group else nested
        place[name] = _from_text(value, field)
    try:
        return config.model_validate(nested)
    except ValidationError as error:
        problems = {_named(entry, known): _problem(entry, known, flat, spelt) for entry in error.errors()}
        ordered = [problems[name] for name in [*known, ""] if name in problems]
        raise ConfigError(_begun(source) + "; ".join(ordered)) from None


def flatten(settings: BaseModel) -> dict[str, Any]:
    """{setting: value} of a validated model."""
    flat: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        flat |= flatten(value) if isinstance(value, BaseModel) else {name: value}
    return flat


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        ConfigError: no such file, not UTF-8, not YAML (with the line), or not a mapping of settings.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{place}: not YAML ({getattr(error, 'problem', None) or error}).") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; expected settings as `name: value` lines.")
    return {str(key): value for key, value in content.items()}


def to_yaml(config: type[BaseModel], values: Mapping[str, Any] | None = None) -> str:
    """Every setting with its value (default: the defaults), each under a comment with meaning, type, unit and range."""
    lines, group = [f"# {_first_line(config)}"], ""
    for field in fields(config):
        if field.group != group:
            group = field.group
            lines.append(f"{group}:")
        indent = "  " if group else ""
        value = field.default if values is None else values.get(field.name, field.default)
        text = yaml.safe_dump(_plain(value), default_flow_style=True, width=10_000).removesuffix("...\n").strip()
        lines.append(f"{indent}# {field.help} ({field.expected})")
        lines.append(f"{indent}{field.name}: {text}")
    return "\n".join(lines) + "\n"


def schema(config: type[BaseModel]) -> dict[str, Any]:
    """JSON schema of the YAML file, for editors."""
    return config.model_json_schema()


def nearest(word: str, known: Iterable[str], spelt: Callable[[str], str] = repr) -> str:
    """` Did you mean 'x'?`, or nothing when none is near."""
    match = difflib.get_close_matches(word, list(known), 1, 0.6)
    return f" Did you mean {spelt(match[0])}?" if match else ""


def _leaves(
    given: Mapping[str, Any], groups: set[str], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in given.items():
        path = (*above, *str(key).replace("-", "_").replace("__", ".").split("."))
        if isinstance(value, Mapping) and (path[-1] in groups or value):
            yield from _leaves(value, groups, path)
        else:
            yield path, value


def _begun(source: str) -> str:
    return f"{source}: " if source else ""


def _unknown(dotted: str, known: Mapping[str, Setting], spelt: Callable[[str], str]) -> str:
    full = [f"{field.group}.{name}" for name, field in known.items() if field.group]
    near = nearest(dotted, [*known, *full], spelt) or nearest(dotted.rpartition(".")[2], known, spelt)
    there = "" if near else " The settings are: " + ", ".join(known) + "."
    return f"no setting is called {spelt(dotted)}.{near}{there}"


def _from_text(value: Any, field: Setting) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if field.optional and text.lower() in ("none", "null", ""):
        return None
    if field.many and text not in field.choices:
        return [part.strip() for part in text.strip("[]()").split(",") if part.strip()]
    return text


def _named(entry: Any, known: Mapping[str, Setting]) -> str:
    return next((str(part) for part in entry["loc"] if part in known), "")


def _problem(entry: Any, known: Mapping[str, Setting], flat: Mapping[str, Any], spelt: Callable[[str], str]) -> str:
    name = _named(entry, known)
    message = str(entry["msg"]).removeprefix("Value error, ")
    if not name:
        return message
    detail = f" ({message})" if entry["type"] == "value_error" else ""
    field, value = known[name], flat.get(name)
    near = nearest(value, field.choices).lstrip() if isinstance(value, str) else ""
    return f"{spelt(name)} is {value!r}; expected {field.expected}{detail}. {near or 'It is: ' + field.help}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _first_line(config: type[BaseModel]) -> str:
    return (config.__doc__ or config.__name__).strip().splitlines()[0]
