"""Answers about texts as a frame of the kind that came in."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any


def frame(columns: Mapping[str, Sequence[Any]], like: Any) -> Any:
    """A table of columns: polars or arrow where `like` is such a frame, else pandas.

    Args:
        columns: values by name, all of one length.
        like: what was asked about: a frame, a path, texts.
    """
    if "polars" in sys.modules and isinstance(like, sys.modules["polars"].DataFrame):
        return sys.modules["polars"].DataFrame(dict(columns))
    if "pyarrow" in sys.modules and isinstance(like, sys.modules["pyarrow"].Table):
        return sys.modules["pyarrow"].table(dict(columns))
    import pandas as pd

    return pd.DataFrame(dict(columns))
