"""What makes a fit of each application end in about a second; one without an entry is fitted with its defaults."""

from typing import Any

QUICK: dict[str, dict[str, Any]] = {
    "forecaster": {"horizon": 6, "max_epochs": 1, "preset": "fast"},
    "language-model": {"hidden_size": 16, "max_epochs": 1},
    "sequence-tagger": {"hidden_size": 16, "max_epochs": 1, "members": 1},
    "text-classifier": {"hidden_size": 16, "max_epochs": 1, "members": 1},
}
