"""Strict JSON: no duplicate keys, no NaN or infinity, a size limit, and errors that name the file and the place."""

from __future__ import annotations

import json
from typing import Any

from gatework.errors import ArtefactError

FORMAT = 1
LIMIT = 64 * 1024 * 1024  # bytes; the largest JSON a run holds is the vocabulary of its series, far below this


def encode(value: Any, indent: int | None = 2) -> bytes:
    """The JSON of `value` as UTF-8.

    Raises:
        ValueError: it holds NaN or infinity, which JSON has no word for.
        TypeError: it holds something that is not JSON (a tensor, a set).
    """
    return json.dumps(value, indent=indent, allow_nan=False, ensure_ascii=False).encode()


def decode(data: bytes, what: str) -> Any:
    """The value of the JSON text `data`; `what` names it in errors.

    Raises:
        ArtefactError: not UTF-8, not JSON, too large, nested too deeply, a key twice, NaN or infinity.
    """
    if len(data) > LIMIT:
        raise ArtefactError(f"{what} has {len(data)} bytes; at most {LIMIT} are expected. It is damaged or foreign.")
    try:
        return json.loads(data.decode(), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ArtefactError(f"{what} is not UTF-8 text (byte {error.start}). It is damaged; restore it.") from error
    except json.JSONDecodeError as error:
        raise ArtefactError(
            f"{what} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}. It is damaged; restore it."
        ) from error
    except RecursionError as error:
        raise ArtefactError(f"{what} is nested too deeply to be one of Gatework's files.") from error
    except ValueError as error:  # from the two hooks, and integers of more digits than Python takes
        raise ArtefactError(
            f"{what} cannot be used: {error}. It is damaged or was changed by hand; restore it."
        ) from error


def checked(value: Any, what: str) -> dict[str, Any]:
    """`value` as an object of this format version, without its "format" entry.

    Raises:
        ArtefactError: not an object, no version, or a version that this Gatework does not know.
    """
    if not isinstance(value, dict):
        raise ArtefactError(f'{what} holds {type(value).__name__}; an object with a "format" entry was expected.')
    version = value.get("format")
    if type(version) is not int or version != FORMAT:
        raise ArtefactError(
            f"{what} has format {version!r}; this Gatework reads format {FORMAT}. "
            "Use the version of Gatework that wrote it (see run.json), or train again."
        )
    return {key: entry for key, entry in value.items() if key != "format"}


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} comes twice")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
