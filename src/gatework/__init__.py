"""Gatework: the equations of a recurrent cell, compiled to fast kernels, layers and trainable models.

Importing this package imports nothing else; each name below is fetched when it is first used. An application is found
by its file: `gatework.LanguageModel` is the class `LanguageModel` of `gatework/tasks/language_model.py`.
"""

from __future__ import annotations

import importlib
import re
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gatework import cells as cells
    from gatework import export as export
    from gatework import nn as nn
    from gatework import tasks as tasks
    from gatework.cells import Cell as Cell
    from gatework.compiler import explain as explain
    from gatework.tasks import load as load
    from gatework.tasks.forecaster import Forecaster as Forecaster
    from gatework.tasks.language_model import LanguageModel as LanguageModel
    from gatework.tasks.sequence_tagger import SequenceTagger as SequenceTagger
    from gatework.tasks.text_classifier import TextClassifier as TextClassifier

__version__ = "0.1.0"

_SUBMODULES = ("cells", "compiler", "data", "errors", "export", "nn", "run", "tasks", "train")
_PLACES = {"Cell": "gatework.cells", "explain": "gatework.compiler", "load": "gatework.tasks"}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"gatework.{name}")
    place = _PLACES.get(name)
    if place is None and name[:1].isupper() and name.isidentifier():
        candidate = f"gatework.tasks.{_snake(name)}"
        place = candidate if find_spec(candidate) else None
    if place is None:
        raise AttributeError(f"module 'gatework' has no attribute {name!r}; it has {', '.join(__dir__())}")
    return getattr(importlib.import_module(place), name)


def _snake(name: str) -> str:
    """`LanguageModel` as its file is called, language_model."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def __dir__() -> list[str]:
    applications = ("Forecaster", "LanguageModel", "SequenceTagger", "TextClassifier")
    return sorted([*_SUBMODULES, *_PLACES, *applications, "__version__"])
