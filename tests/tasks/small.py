"""A forecaster that trains in a second, and data for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gatework.tasks.forecaster import Forecaster


def small(folder: Path, **settings: Any) -> Forecaster:
    """Horizon 6, context 14, tiny network, two epochs unless said otherwise."""
    given = {"horizon": 6, "context": 14, "hidden_size": 8, "num_layers": 1, "max_epochs": 2, "members": 1, "seed": 1}
    given |= {"steps_per_epoch": 4, "batch_size": 32, "learning_rate": 0.01, "holdout": 1, "keep": "best"}
    return Forecaster(**{**given, "runs": str(folder), **settings})


def seasonal(series: int = 3, length: int = 90, season: int = 7, seed: int = 0, noise: float = 0.1) -> pd.DataFrame:
    """Daily series of a level, a weekly pattern and noise."""
    random = np.random.default_rng(seed)
    day = np.arange(length)
    frames = []
    for number in range(series):
        level = 10.0 ** (number % 3 + 1)
        pattern = random.normal(0, 1, season)[day % season]
        y = level * (1 + 0.2 * pattern + 0.2 * noise * random.normal(size=length))
        frames.append(
            pd.DataFrame({"unique_id": f"s{number}", "ds": pd.date_range("2024-01-01", periods=length), "y": y})
        )
    return pd.concat(frames, ignore_index=True)
