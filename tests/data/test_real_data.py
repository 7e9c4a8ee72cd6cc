"""Real files as people have them; skipped where the data folder is not there."""

import gzip

import numpy as np
import pandas as pd
import pytest
import torch

from gatework.data import Sampler, Windows, read, split
from gatework.errors import InputError
from gatework.say import quiet, recording

# file: (arguments, series, rows, frequency, season, first value, last value)
FILES = {
    "classic_series/AirPassengers.csv.gz": ({}, 1, 144, "MS", 12, 112, 432),
    "classic_series/ausbeer.csv.gz": ({}, 1, 211, "QS", 4, 284, 410),
    "classic_series/daily-min-temperatures.csv.gz": ({}, 1, 3652, "D", 7, 20.7, 13),
    "classic_series/temps.csv.gz": ({}, 1, 3652, "D", 7, 20.7, 13),  # month/day/year, two days missing
    "classic_series/us_gasoline.csv.gz": ({}, 1, 1578, "W-FRI", 52, 6621, 8864),  # latest first
    "classic_series/ILINet.csv.gz": ({"target": "ILITOTAL"}, 1, 1305, "W-SUN", 52, 570, None),
    "classic_series/monthly-sunspots.csv.gz": ({}, 1, 2820, "MS", 12, 58, 33.4),
    "classic_series/taylor.csv.gz": ({}, 1, 4032, "integer", 48, 22262, 23132),  # no dates: half-hours found
    "classic_series/heart_rate.csv.gz": ({}, 1, 1800, "integer", 1, 84.2697, 98.8567),
    "classic_series/australian_tourism.csv.gz": ({"target": ["Hol", "Bus"]}, 2, 36, "integer", 4, 45906, None),
    "ett/ETTh1.csv.gz": (
        {"target": ["HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"]}, 7, 17420, "h", 24, 5.827000141143799, None,
    ),
    "exchange_rate/exchange_rate.txt.gz": (
        {"target": [f"column{i}" for i in range(1, 9)]}, 8, 7588, "integer", 1, 0.7855, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_what_is_read(data_folder, name):
    arguments, series, rows, frequency, season, first, final = FILES[name]
    with quiet():
        panel = read(data_folder / name, **arguments)
    assert (len(panel), panel.lengths.max()) == (series, rows)
    assert (str(panel.schema.frequency), panel.schema.season) == (frequency, season)
    assert panel.series(0)[0][0] == first
    if final is not None:
        assert panel.series(0)[0][-1] == final


def test_text_labels_as_covariates(data_folder):
    with quiet(), recording() as lines:
        panel = read(
            data_folder / "classic_series/seattle-weather.csv.gz",
            target="temp_max",
            past_covariates=["weather", "wind"],
            future_covariates=["precipitation"],
        )
    assert panel.schema.past_names == [*(f"weather={sky}" for sky in ("drizzle", "fog", "rain", "snow", "sun")), "wind"]
    assert (panel.past[:, :5].sum(axis=1) == 1).all()
    assert "columns not used: temp_min (name covariates to use them)" in lines


def test_a_choice_of_targets_is_left_to_the_user(data_folder):
    with quiet(), pytest.raises(InputError, match=r"7 numeric columns: 'HUFL', .* target='OT', or a list"):
        read(data_folder / "ett/ETTh1.csv.gz")


def test_competition_series_train_at_full_rate(data_folder):
    """M4 hourly, one series a line: melted to a long table, 414 series of 700 or 960 hours."""
    with gzip.open(data_folder / "m4/Hourly-train.csv.gz") as file:
        wide = pd.read_csv(file, index_col=0)
    long = wide.melt(ignore_index=False, var_name="ds", value_name="y").reset_index(names="unique_id").dropna()
    long["ds"] = long["ds"].str[1:].astype(int)
    with quiet():
        panel = read(long)
    assert (len(panel), panel.schema.season) == (414, 24)
    assert sorted(set(panel.lengths)) == [700, 960]
    parts = split(panel, 48)
    windows = Windows(panel, 168, 48, train_ends=parts.train_ends)
    seen = 0
    for numbers in Sampler(parts.train, 512, windows_per_epoch=4096):
        batch = windows.batch(*parts.train.locate(numbers))
        assert batch["target_observed"].all()
        assert torch.isfinite(batch["past"]).all()
        seen += len(numbers)
    assert seen == 4096
    assert np.isfinite(panel.values).all()
