"""A clock that moves only when it is told to, for tests of time limits: how busy the machine is changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


class Watch:
    """Stands in a module for `time`."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def lasting(self, seconds: float, work: Callable[..., Any]) -> Callable[..., Any]:
        """`work`, which now takes so long."""

        def done(*given: Any, **named: Any) -> Any:
            self.seconds += seconds
            return work(*given, **named)

        return done

    def worn_by(self, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
        """These modules read it instead of the machine's clock."""
        for module in modules:
            monkeypatch.setattr(module, "time", self)
