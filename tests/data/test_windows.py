"""Windows, splits and the sampler: held against a slow loop over the frame, free of leaks, exactly resumable."""

import json
import time

import numpy as np
import pandas as pd
import pytest
import torch

from gatework.data import Sampler, Scales, WindowIndex, Windows, last, read, rolling, split, synthesise
from gatework.data.almanac import cycles, features
from gatework.data.frequency import parse
from gatework.errors import ArtefactError
from gatework.say import quiet

COVARIATES = {
    "past_covariates": ["visitors"],
    "future_covariates": ["promotion"],
    "static_covariates": ["kind"],
}
CONTEXT, HORIZON = 9, 4


def ragged(seed: int = 0) -> pd.DataFrame:
    """Three series of different lengths with gaps and missing values."""
    frame = synthesise(series=3, length=60, seed=seed)
    row = frame.groupby("unique_id").cumcount()
    random = np.random.default_rng(seed)
    frame = frame[
        (row < row.groupby(frame["unique_id"]).transform("size") - 5 * frame["unique_id"].str[-1].astype(int))
    ]
    return frame[random.uniform(size=len(frame)) > 0.1].reset_index(drop=True)


@pytest.fixture(scope="module")
def panel():
    with quiet():
        return read(ragged(), **COVARIATES)


def slow_window(panel, series: int, origin: int):
    """One window, row by row."""
    start, stop = int(panel.offsets[series]), int(panel.offsets[series + 1])
    past, seen = [], []
    for position in range(origin - CONTEXT, origin + HORIZON):
        row = start + max(position, 0)
        past.append(float(panel.values[row]) if row < stop else 0.0)
        seen.append(bool(position >= 0 and row < stop and panel.observed[row]))
    return past, seen


def test_batches_equal_a_slow_loop(panel):
    windows = Windows(panel, CONTEXT, HORIZON)
    index = split(panel, HORIZON).train
    numbers = torch.arange(len(index))
    series, origins = index.locate(numbers)
    batch = windows.batch(series, origins)
    for row, (i, origin) in enumerate(zip(series.tolist(), origins.tolist(), strict=True)):
        values, seen = slow_window(panel, i, origin)
        target = [v if s else 0.0 for v, s in zip(values[CONTEXT:], seen[CONTEXT:], strict=True)]
        torch.testing.assert_close(batch["past"][row], torch.tensor(values[:CONTEXT]))
        assert batch["past_observed"][row].tolist() == seen[:CONTEXT]
        torch.testing.assert_close(batch["target"][row], torch.tensor(target))
        assert batch["target_observed"][row].tolist() == seen[CONTEXT:]


def test_covariates_stand_beside_their_rows(panel):
    windows = Windows(panel, CONTEXT, HORIZON)
    series, origins = torch.tensor([1, 2]), torch.tensor([20, 12])
    batch = windows.batch(series, origins)
    for row in range(2):
        first = int(panel.offsets[series[row]] + origins[row]) - CONTEXT
        visitors = panel.past[first : first + CONTEXT, 0]
        mean, deviation = windows.statistics["past_mean"], windows.statistics["past_deviation"]
        torch.testing.assert_close(batch["past_covariates"][row, :, 0] * deviation + mean, torch.from_numpy(visitors))
        ahead = panel.future[first : first + CONTEXT + HORIZON, 0]
        mean, deviation = windows.statistics["future_mean"], windows.statistics["future_deviation"]
        known = ~np.isnan(ahead)
        torch.testing.assert_close(
            (batch["future_covariates"][row, :, 0] * deviation + mean)[known], torch.from_numpy(ahead[known])
        )
    assert batch["static"].tolist() == panel.static[[1, 2]].tolist()
    assert windows.future_names == ["promotion", "weekday_sin", "weekday_cos"]
    assert windows.widths == {"past": 1, "future": 3, "static": 3}
    weekday = torch.atan2(batch["future_covariates"][0, 0, 1], batch["future_covariates"][0, 0, 2]) / (2 * torch.pi) * 7
    day = pd.Timestamp(panel.times[int(panel.offsets[1]) + 20 - CONTEXT], unit="us").day_of_week
    assert round(weekday.item()) % 7 == day


def test_shapes_and_types(panel):
    batch = Windows(panel, CONTEXT, HORIZON).batch(torch.tensor([0, 1, 2]), torch.tensor([1, 2, 30]))
    shapes = {name: tuple(tensor.shape) for name, tensor in batch.items()}
    assert shapes == {
        "past": (3, CONTEXT),
        "past_observed": (3, CONTEXT),
        "past_covariates": (3, CONTEXT, 1),
        "future_covariates": (3, CONTEXT + HORIZON, 3),
        "static": (3, 3),
        "series": (3,),
        "target": (3, HORIZON),
        "target_observed": (3, HORIZON),
    }
    types = {name: tensor.dtype for name, tensor in batch.items()}
    assert {name for name, dtype in types.items() if dtype == torch.bool} == {"past_observed", "target_observed"}
    assert types["series"] == torch.int64
    assert all(tensor.isfinite().all() for tensor in batch.values())


def test_without_covariates_or_dates():
    with quiet():
        panel = read(np.arange(30.0))
    batch = Windows(panel, 4, 2).batch(torch.tensor([0]), torch.tensor([10]))
    assert batch["future_covariates"].shape == (1, 6, 0)
    assert batch["past"].tolist() == [[6, 7, 8, 9]]
    assert batch["target"].tolist() == [[10, 11]]


def test_windows_beyond_the_rows_are_refused(panel):
    windows = Windows(panel, CONTEXT, HORIZON)
    for origin in (-1, int(panel.lengths[0]) - HORIZON + 1):
        with pytest.raises(IndexError, match="beyond the rows"):
            windows.batch(torch.tensor([0]), torch.tensor([origin]))


def test_scaled_windows_keep_digits_that_float32_would_lose():
    values = 1e9 + np.sin(np.arange(50.0))
    with quiet():
        panel = read(values)
    scales = Scales.of(panel)
    batch = Windows(panel, 10, 5, scales=scales).batch(torch.tensor([0]), torch.tensor([20]))
    back = batch["past"][0].double().numpy() * scales.scale[0] + scales.shift[0]
    np.testing.assert_allclose(back, values[10:20], rtol=0, atol=1e-6)


def test_scales_of_odd_series():
    frame = pd.DataFrame(
        {"unique_id": np.repeat(["flat", "zero", "wave", "single"], 4), "ds": [*range(4)] * 4,
         "y": [7, 7, 7, 7, 0, 0, 0, 0, 1, 3, 1, 3, 5, np.nan, np.nan, np.nan]}
    )  # fmt: skip
    with quiet():
        scales = Scales.of(read(frame))
    assert scales.shift.tolist() == [7, 0, 2, 5]
    assert scales.scale.tolist() == [7, 1, 1, 5]


# leaks


def test_nothing_after_the_training_part_changes_what_training_sees():
    """Every value after the split is replaced; batches, scales and statistics of training stay as they were."""
    frame = ragged()
    with quiet():
        panel = read(frame, **COVARIATES)
        parts = split(panel, HORIZON, windows=2)
        cut_times = panel.times_after(parts.train_ends - panel.offsets[:-1], 1)[:, 0]
        first_held = pd.Series(pd.to_datetime(cut_times, unit="us"), index=panel.ids)
        later = frame["ds"] >= frame["unique_id"].map(first_held)
        assert later.sum() > 10
        frame.loc[later, ["y", "visitors"]] = 1e6
        frame.loc[later, "promotion"] = 50
        other = read(frame, **COVARIATES)
    other_parts = split(other, HORIZON, windows=2)
    assert other_parts.train_ends.tolist() == parts.train_ends.tolist()
    batches = []
    for each, its in ((panel, parts), (other, other_parts)):
        scales = Scales.of(each, its.train_ends)
        windows = Windows(each, CONTEXT, HORIZON, train_ends=its.train_ends, scales=scales)
        batches.append(windows.batch(*its.train.locate(torch.arange(len(its.train)))))
    for name, tensor in batches[0].items():
        assert torch.equal(tensor, batches[1][name]), name


def test_the_past_of_a_window_holds_nothing_from_its_target(panel):
    """A missing value is filled from before it, so what comes after an origin cannot reach the past."""
    frame = ragged()
    with quiet():
        whole = read(frame, **COVARIATES)
        series, origin = 1, 25
        at = pd.Timestamp(whole.times[whole.offsets[series] + origin], unit="us")
        frame.loc[(frame["unique_id"] == whole.ids[series]) & (frame["ds"] >= at), ["y", "visitors"]] = -5.0
        changed = read(frame, **COVARIATES)
    pick = torch.tensor([series]), torch.tensor([origin])
    statistics = Windows(whole, CONTEXT, HORIZON).statistics
    one, two = (Windows(p, CONTEXT, HORIZON, statistics=statistics).batch(*pick) for p in (whole, changed))
    for name in ("past", "past_observed", "past_covariates"):
        assert torch.equal(one[name], two[name])
    assert not torch.equal(one["target"], two["target"])


@pytest.mark.parametrize("windows", [0, 1, 3])
@pytest.mark.parametrize("step", [1, 4, 7])
def test_no_target_row_is_in_both_parts(panel, windows, step):
    parts = split(panel, HORIZON, windows=windows, step=step)
    rows = []
    for index in (parts.train, parts.holdout):
        series, origins = index.locate(torch.arange(len(index)))
        first = torch.from_numpy(panel.offsets[:-1])[series] + origins
        rows.append({int(f) + h for f in first for h in range(HORIZON)})
    assert not rows[0] & rows[1]
    assert len(parts.holdout) == 3 * windows
    assert max(rows[0]) < max(parts.train_ends)
    if windows:
        assert max(rows[1]) == panel.ends[-1] - 1


def test_a_series_too_short_to_hold_out_from_is_only_trained_on():
    frame = pd.DataFrame({"unique_id": ["long"] * 20 + ["short"] * 8, "ds": [*range(20), *range(8)], "y": range(28)})
    with quiet():
        panel = read(frame)
    parts = split(panel, HORIZON)
    assert parts.train.counts.tolist() == [12, 4]
    assert parts.holdout.counts.tolist() == [1, 0]
    assert parts.train_ends.tolist() == [16, 28]


def test_stride_keeps_the_latest_window(panel):
    every, third = split(panel, HORIZON).train, split(panel, HORIZON, stride=3).train
    assert third.counts.tolist() == [-(-int(count) // 3) for count in every.counts]
    for index in (every, third):
        ends = torch.cumsum(index.counts, 0) - 1
        assert index.locate(ends)[1].tolist() == [int(length) - 2 * HORIZON for length in panel.lengths]


def test_rolling_origins():
    with quiet():
        panel = read(
            pd.DataFrame({"unique_id": ["a"] * 30 + ["b"] * 10, "ds": [*range(30), *range(10)], "y": range(40)})
        )
    index = rolling(panel, HORIZON, windows=3)
    series, origins = index.locate(torch.arange(len(index)))
    assert list(zip(series.tolist(), origins.tolist(), strict=True)) == [(0, 18), (0, 22), (0, 26), (1, 2), (1, 6)]
    assert [len(batch) for batch in index.batches(2)] == [2, 2, 1]


def test_the_last_window_looks_ahead():
    with quiet():
        plain = read(ragged(), target="y")
    ahead = plain.extend(HORIZON)
    index = last(ahead)
    batch = Windows(ahead, CONTEXT, HORIZON).batch(*index.locate(torch.arange(3)))
    assert not batch["target_observed"].any()
    for i in range(3):
        np.testing.assert_allclose(batch["past"][i].numpy(), plain.series(i)[0][-CONTEXT:], rtol=1e-6)


def test_a_cut_panel_is_the_panel_as_it_was():
    frame = synthesise(series=2, length=40)
    with quiet():
        whole, early = (
            read(frame, target="y"),
            read(frame[frame["ds"] < frame["ds"].min() + pd.Timedelta(days=30)], target="y"),
        )
    cut = whole.cut(whole.offsets[:-1] + early.lengths).extend(HORIZON)
    expected = early.extend(HORIZON)
    assert cut.lengths.tolist() == expected.lengths.tolist()
    np.testing.assert_array_equal(cut.values, expected.values)
    assert cut.observed.tolist() == expected.observed.tolist()


# the sampler


@pytest.fixture
def index() -> WindowIndex:
    return WindowIndex(np.array([1, 5, 2]), np.array([10, 0, 27]))


def test_an_epoch_has_every_window_once(index):
    sampler = Sampler(index, 8, seed=3)
    numbers = torch.cat(list(sampler))
    assert len(sampler) == 5
    assert sorted(numbers.tolist()) == list(range(37))
    assert numbers.tolist() != list(range(37))
    assert torch.cat(list(sampler)).tolist() != numbers.tolist()
    assert torch.cat(list(Sampler(index, 8, seed=3))).tolist() == numbers.tolist()
    assert torch.cat(list(Sampler(index, 8, seed=4))).tolist() != numbers.tolist()


@pytest.mark.parametrize("count", [3, 20, 37, 100])
def test_a_fixed_number_of_windows(index, count):
    numbers = torch.cat(list(Sampler(index, 7, windows_per_epoch=count)))
    assert len(numbers) == count
    assert numbers.max() < 37
    if count > 37:
        assert len(set(numbers[:37].tolist())) == 37


@pytest.mark.parametrize(("balance", "share"), [("series", 0.5), ("root", 10**0.5 / (10**0.5 + 27**0.5))])
def test_balanced_series_are_drawn_by_their_share_and_empty_ones_never(index, balance, share):
    numbers = torch.cat(list(Sampler(index, 50, windows_per_epoch=4000, balance=balance)))
    drawn = torch.bincount(index.locate(numbers)[0], minlength=3)
    assert drawn[1] == 0
    assert abs(drawn[0] - 4000 * share) < 160  # five standard deviations
    assert torch.bincount(numbers, minlength=37).min() > 0


@pytest.mark.parametrize("taken", range(12))
@pytest.mark.parametrize("balance", ["window", "root", "series"])
def test_a_restored_sampler_goes_on_exactly(index, taken, balance):
    def batches(sampler):
        while True:
            yield from sampler

    sampler = Sampler(index, 8, seed=1, balance=balance)
    stream = batches(sampler)
    for _ in range(taken):
        next(stream)
    state = json.loads(json.dumps(sampler.state_dict()))
    expected = [next(stream).tolist() for _ in range(8)]
    restored = Sampler(index, 8, seed=1, balance=balance)
    restored.load_state_dict(state)
    stream = batches(restored)
    assert [next(stream).tolist() for _ in range(8)] == expected


@pytest.mark.parametrize(
    "state", [{}, {"epoch": -1, "position": 0}, {"epoch": 0, "position": 6}, {"epoch": "1", "position": 0}]
)
def test_a_position_that_is_none(index, state):
    with pytest.raises(ArtefactError, match="not a position among 5 batches"):
        Sampler(index, 8).load_state_dict(state)


def test_no_windows_at_all():
    with pytest.raises(ValueError, match="no window"):
        Sampler(WindowIndex(np.array([1]), np.array([0])), 4)


def test_locating_is_lazy_and_right(index):
    series, origins = index.locate(torch.arange(37))
    assert series.tolist() == [0] * 10 + [2] * 27
    assert origins.tolist() == [*range(1, 11), *range(2, 29)]


# calendar features and cost


def test_calendar_features_follow_the_wall_clock():
    utc = pd.date_range("2024-03-30 23:00", periods=4, freq="h")  # midnight in Berlin, then the hour that is skipped
    times = utc.to_numpy().astype("datetime64[us]").astype(np.int64)
    waves = features(times, ("hour",), "Europe/Berlin")
    hours = np.arctan2(waves[:, 0], waves[:, 1]) / (2 * np.pi) * 24 % 24
    np.testing.assert_allclose(hours, [0, 1, 3, 4], atol=1e-4)


@pytest.mark.parametrize(
    ("alias", "days", "expected"),
    [("h", 800, ("hour", "weekday", "day", "year")), ("h", 20, ("hour", "weekday")), ("D", 5, ()),
     ("D", 100, ("weekday",)), ("B", 800, ("weekday", "day", "year")), ("W", 900, ("day", "year")),
     ("MS", 900, ("year",)), ("YS", 9000, ())],
)  # fmt: skip
def test_only_cycles_that_were_seen_often_become_features(alias, days, expected):
    assert cycles(parse(alias), days * 86_400_000_000) == expected


def test_a_batch_costs_less_than_a_training_step():
    """256 windows of 96 + 96 rows with six calendar features; measured at 0.3 ms, a small step takes about 1 ms."""
    frame = pd.DataFrame({"ds": pd.date_range("2020-01-01", periods=20_000, freq="h"), "y": np.arange(20_000.0)})
    with quiet():
        panel = read(frame)
    parts = split(panel, 96)
    windows = Windows(panel, 96, 96)
    sampler = Sampler(parts.train, 256)
    times = []
    for _, numbers in zip(range(60), sampler, strict=False):
        start = time.thread_time()  # of this thread: torch's others may spin while they wait for a busy machine
        windows.batch(*parts.train.locate(numbers))
        times.append(time.thread_time() - start)
    assert np.min(times) < 3e-3  # a wide margin: the machine is shared
