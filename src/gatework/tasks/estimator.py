"""scikit-learn's manners: the constructor only stores, every setting is a parameter, what is learned ends in `_`."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

from pydantic import BaseModel

from gatework.tasks.config import check, settle
from gatework.tasks.setting import fields


class Estimator:
    """Stores the settings of `Config` as attributes, one for each leaf.

    Values are checked when they are used (`settings()`), names at once. `get_params`, `set_params` and
    `sklearn.base.clone` work as for any estimator; `set_params(dropout=0.1)` and `set_params(model__dropout=0.1)` are
    the same.
    """

    Config: ClassVar[type[BaseModel]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "Config" in vars(cls):
            words = [
                inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default)
                for field in fields(cls.Config)
            ]
            cls.__signature__ = inspect.Signature(words)  # type: ignore[attr-defined]

    def __init__(self, **settings: Any) -> None:
        given = settle(self.Config, settings, source=f"{type(self).__name__}()")
        for field in fields(self.Config):
            setattr(self, field.name, given.get(field.name, field.default))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """{setting: value as given}; `deep` changes nothing: every setting is a leaf."""
        return {field.name: getattr(self, field.name) for field in fields(self.Config)}

    def set_params(self, **settings: Any) -> Self:
        """Change settings by any of their names.

        Raises:
            ConfigError: an unknown name, with the nearest known one.
        """
        for name, value in settle(self.Config, settings, source=f"{type(self).__name__}.set_params()").items():
            setattr(self, name, value)
        return self

    def settings(self) -> BaseModel:
        """The validated model: what was given, over the defaults.

        Raises:
            ConfigError: values that do not fit.
        """
        given = {name: value for name, value in self.get_params().items() if value is not None}
        return check(self.Config, given, source=f"{type(self).__name__}()")

    def __repr__(self) -> str:
        given = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self.Config)
            if getattr(self, field.name) != field.default
        ]
        return f"{type(self).__name__}({', '.join(given)})"
