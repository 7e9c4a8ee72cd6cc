"""A made-up table of daily sales: trend, weekly and yearly seasons, promotions known ahead, a static kind of shop."""

from __future__ import annotations

import numpy as np
import pandas as pd

_KINDS = ("city", "station", "village")


def synthesise(series: int = 4, length: int = 730, seed: int = 0) -> pd.DataFrame:
    """A long table as `gatework.data.read` takes it; `gatework.run.write_frame` writes it to a file.

    Args:
        series: how many, 1 or more.
        length: days of each, 14 or more.
        seed: of the random numbers; the same arguments give the same table.

    Returns:
        A frame of series * length rows: `unique_id` (text), `ds` (dates), `y` (sales, about one in a hundred missing),
        `promotion` (0 or 1, known ahead), `visitors` (known up to the present), `kind` (text, one per series).

    Example:
        >>> frame = synthesise(series=2, length=30)
        >>> list(frame.columns), len(frame)
        (['unique_id', 'ds', 'y', 'promotion', 'visitors', 'kind'], 60)
    """
    random = np.random.default_rng(seed)
    day = np.arange(length)
    dates = pd.date_range("2022-01-03", periods=length, freq="D")
    parts = []
    for number in range(series):
        level = random.uniform(50, 200)
        week = random.normal(0, 0.15, 7)[day % 7]
        year = random.uniform(0.1, 0.3) * np.sin(2 * np.pi * (day / 365.25 + random.uniform()))
        trend = random.uniform(-0.1, 0.3) * day / 365.25
        promotion = (random.uniform(size=length) < 0.05).astype(int)
        noise = random.normal(0, 0.05, length)
        sales = level * np.exp(week + year + trend + 0.3 * promotion + noise)
        visitors = np.round(sales * random.uniform(1.5, 3.0) * np.exp(random.normal(0, 0.1, length)))
        sales[random.uniform(size=length) < 0.01] = np.nan
        part = {
            "unique_id": f"shop{number + 1}",
            "ds": dates,
            "y": np.round(sales, 2),
            "promotion": promotion,
            "visitors": visitors.astype(int),
            "kind": _KINDS[number % len(_KINDS)],
        }
        parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)
