"""Options of generation that go together, and those that would change nothing beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatework.tasks.idle import Idle, refuse_idle
from gatework.tasks.language.sampling import Sampling

_USUAL: dict[str, Any] = {**vars(Sampling()), "beams": 0, "length_power": 1.0, "alternatives": 0}

_RULES = (
    Idle(
        ("temperature", "top_k", "top_p", "min_p", "typical", "alternatives"),
        lambda given: given["beams"],
        "a beam search draws nothing; leave beams out, or this",
    ),
    Idle(("length_power",), lambda given: not given["beams"], "it ranks the texts of a beam search; set beams"),
    Idle(
        ("typical",),
        lambda given: given["temperature"] == 0,
        "at temperature 0 nothing is drawn, the most probable token is taken; set another temperature",
    ),
)


def check_options(given: Mapping[str, Any]) -> None:
    """Refuse options of `LanguageModel.generate` that would be ignored.

    Args:
        given: {option: value}; those that are missing are at their usual values.

    Raises:
        ConfigError: says which option, and what it needs.
    """
    refuse_idle({**_USUAL, **given}, _USUAL, _RULES)
