"""The five public data sets of the forecasting benchmark, as frames with unique_id, ds and y, and their scores.

The files stand in $GATEWORK_DATA (default ../shared/data beside the repository); splits and scores are official ones.
"""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

DATA = Path(os.environ.get("GATEWORK_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
LEVELS = tuple(k / 10 for k in range(1, 10))
NAIVE2 = {"hourly": (18.383, 2.395), "weekly": (9.161, 2.777)}  # sMAPE and MASE, from the competition's table
M4_SEASON = {"hourly": 24, "weekly": 1}  # of the official MASE
ETT_TRAIN, ETT_VALID, ETT_TEST = 8640, 11520, 14400  # ends of the parts, rows
EXCHANGE_TRAIN = 6071


def air() -> tuple[pd.DataFrame, Array]:
    """AirPassengers without its last 12 months, and those."""
    frame = pd.read_csv(DATA / "classic_series" / "AirPassengers.csv.gz")
    frame = pd.DataFrame(
        {"unique_id": "air", "ds": pd.to_datetime(frame["Month"]), "y": frame["#Passengers"].astype(float)}
    )
    return frame[:-12], frame["y"].to_numpy()[-12:]


def m4(kind: str) -> tuple[list[str], list[Array], list[Array]]:
    """Ids, training values and test values of the M4 series ("hourly" or "weekly")."""
    ids, parts = [], {}
    for part in ("train", "test"):
        with gzip.open(DATA / "m4" / f"{kind.capitalize()}-{part}.csv.gz", "rt") as file:
            rows = list(csv.reader(file))[1:]
        ids = [row[0] for row in rows]
        parts[part] = [np.array([float(value) for value in row[1:] if value]) for row in rows]
    return ids, parts["train"], parts["test"]


def long_frame(ids: list[str], series: list[Array]) -> pd.DataFrame:
    """Series of different lengths below each other; `ds` counts the rows of each from 1."""
    return pd.DataFrame(
        {
            "unique_id": np.repeat(ids, [len(values) for values in series]),
            "ds": np.concatenate([np.arange(1, len(values) + 1) for values in series]),
            "y": np.concatenate(series),
        }
    )


def owa(kind: str, train: list[Array], truth: list[Array], forecast: list[Array]) -> dict[str, float]:
    """sMAPE (0..200), MASE and OWA, as the competition counts them."""
    season = M4_SEASON[kind]
    smape = [np.mean(200 * np.abs(y - f) / (np.abs(y) + np.abs(f))) for y, f in zip(truth, forecast, strict=True)]
    mase = [
        np.mean(np.abs(y - f)) / np.mean(np.abs(x[season:] - x[:-season]))
        for x, y, f in zip(train, truth, forecast, strict=True)
    ]
    means = float(np.mean(smape)), float(np.mean(mase))
    return {
        "sMAPE": means[0],
        "MASE": means[1],
        "OWA": sum(m / n for m, n in zip(means, NAIVE2[kind], strict=True)) / 2,
    }


def etth1() -> pd.DataFrame:
    """ETTh1's seven channels up to the end of the test part, each standardised by its training part."""
    wide = pd.read_csv(DATA / "ett" / "ETTh1.csv.gz", parse_dates=["date"])[:ETT_TEST].set_index("date")
    train = wide[:ETT_TRAIN]
    scaled = (wide - train.mean()) / train.std(ddof=0)
    frame = scaled.melt(ignore_index=False, var_name="unique_id", value_name="y").reset_index(names="ds")
    return frame[["unique_id", "ds", "y"]]


def exchange() -> pd.DataFrame:
    """Eight exchange rates up to the end of the fifth test window, numbered by business day."""
    wide = pd.read_csv(DATA / "exchange_rate" / "exchange_rate.txt.gz", header=None)[: EXCHANGE_TRAIN + 150]
    wide.index = pd.bdate_range("1990-01-01", periods=len(wide))
    frame = wide.rename(columns=str).melt(ignore_index=False, var_name="unique_id", value_name="y")
    return frame.reset_index(names="ds")[["unique_id", "ds", "y"]]


def weighted_quantile_loss(truth: Array, quantiles: Array) -> float:
    """Mean over LEVELS of the quantile losses' sum, doubled, over the sum of |truth|.

    Args:
        truth: [W, H].
        quantiles: [W, H, 9].
    """
    levels = np.array(LEVELS)
    error = truth[..., None] - quantiles
    loss = 2 * np.maximum(levels * error, (levels - 1) * error).sum((0, 1))
    return float((loss / np.abs(truth).sum()).mean())
