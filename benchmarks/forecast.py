"""The forecaster's defaults on five public data sets, beside the seasonal naive forecast and recorded peers.

    python benchmarks/forecast.py                      all five, seeds 0, 1 and 2
    python benchmarks/forecast.py m4-hourly --seeds 5

Nothing is set but the horizon and what a protocol prescribes. CPU seconds are those of this process for fit and
forecast, with one thread; reading the file and imports are not in them. Scores are gated: the seasonal naive figures
are recomputed first and must equal the published ones.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import datasets
import numpy as np
import record
import torch

from gatework import Forecaster

Scores = dict[str, float]


def air(seed: int) -> Scores:
    train, truth = datasets.air()
    with _forecaster(seed, horizon=12) as (model, clock):
        forecast = model.fit(train).predict(train)["y_hat"].to_numpy()
        return {"MAE": float(np.abs(forecast - truth).mean()), "CPU seconds": clock()}


def m4(kind: str) -> Callable[[int], Scores]:
    def run(seed: int) -> Scores:
        ids, train, truth = datasets.m4(kind)
        frame = datasets.long_frame(ids, train)
        with _forecaster(seed, horizon=len(truth[0])) as (model, clock):
            forecast = model.fit(frame).predict(frame)
            seconds = clock()
        by_id = {str(name): part["y_hat"].to_numpy() for name, part in forecast.groupby("unique_id")}
        return {**datasets.owa(kind, train, truth, [by_id[name] for name in ids]), "CPU seconds": seconds}

    return run


def etth1(seed: int) -> Scores:
    """Input 96, horizon 96, every window of the test part; squared error of the mean, absolute error of the median."""
    frame = datasets.etth1()
    train = frame[frame["ds"] < frame["ds"].min() + np.timedelta64(datasets.ETT_TRAIN, "h")]
    with _forecaster(seed, horizon=96, context=96) as (model, clock):
        test = model.fit(train).backtest(frame, windows=datasets.ETT_TEST - datasets.ETT_VALID - 95, step=1)
        seconds = clock()
    mse = float(np.square(test.quantiles.mean(-1) - test.truth).mean())
    return {"MSE": mse, "MAE": float(np.abs(test.median - test.truth).mean()), "CPU seconds": seconds}


def exchange(seed: int) -> Scores:
    frame = datasets.exchange()
    train = frame[frame.groupby("unique_id").cumcount() < datasets.EXCHANGE_TRAIN]
    with _forecaster(seed, horizon=30) as (model, clock):
        test = model.fit(train).backtest(frame, windows=5)
        seconds = clock()
    return {"wQL": datasets.weighted_quantile_loss(test.truth, test.quantiles), "CPU seconds": seconds}


PROTOCOLS: dict[str, Callable[[int], Scores]] = {
    "air-passengers": air,
    "m4-hourly": m4("hourly"),
    "m4-weekly": m4("weekly"),
    "etth1-96": etth1,
    "exchange-rate": exchange,
}
MAIN = {"air-passengers": "MAE", "m4-hourly": "OWA", "m4-weekly": "OWA", "etth1-96": "MSE", "exchange-rate": "wQL"}


def naive() -> dict[str, tuple[str, float]]:
    """The seasonal naive forecast's main figure on each data set, and a check of the scores against published ones."""
    train, truth = datasets.air()
    found = {"air-passengers": ("MAE", float(np.abs(truth - train["y"].to_numpy()[-12:]).mean()))}
    for kind, published in (("hourly", (13.912, 1.193)), ("weekly", (9.161, 2.777))):
        _, past, future = datasets.m4(kind)
        season = datasets.M4_SEASON[kind]
        scores = datasets.owa(
            kind, past, future, [np.resize(x[-season:], len(y)) for x, y in zip(past, future, strict=True)]
        )
        got = scores["sMAPE"], scores["MASE"]
        if any(abs(a - b) > 5e-4 for a, b in zip(got, published, strict=True)):
            sys.exit(f"M4 {kind}: seasonal naive scores {got}, published are {published}: scores cannot be trusted")
        found[f"m4-{kind}"] = ("OWA", scores["OWA"])
    return found


@contextmanager
def _forecaster(seed: int, **settings: object) -> Iterator[tuple[Forecaster, Callable[[], float]]]:
    """A forecaster whose run folder goes away again, and a clock of CPU seconds that starts now."""
    with tempfile.TemporaryDirectory() as folder:
        model = Forecaster(seed=seed, runs=folder, **settings)
        start = time.process_time()
        yield model, lambda: time.process_time() - start


def record_rows(data: str, runs: list[Scores], baseline: dict[str, tuple[str, float]]) -> list[dict[str, object]]:
    """Rows for every score: alone, beside the naive forecast, and beside every peer recorded for it so far."""
    beside: dict[str, dict[str, tuple[float, str]]] = {}
    for metric in runs[0]:
        peers = {r["peer"]: r for r in record.read() if (r["mode"], r["metric"]) == (data, metric) and r["peer"]}
        beside[metric] = {name: (float(r["peer_median"]), r["note"]) for name, r in peers.items()}
    if data in baseline:
        metric, figure = baseline[data]
        beside[metric]["seasonal naive"] = figure, "the season repeated"
    note = f"defaults, {len(runs)} seeds; python benchmarks/forecast.py {data}"
    return record.score_rows("forecast", data, runs, beside, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="*", choices=[*PROTOCOLS, []], help="which (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each; the median is recorded")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    baseline = naive()
    for data in arguments.data or PROTOCOLS:
        runs = []
        for seed in range(arguments.seeds):
            runs.append(PROTOCOLS[data](seed))
            print(data, f"seed {seed}", *(f"{metric} {value:.4f}" for metric, value in runs[-1].items()), flush=True)
        print(data, "median", *(f"{metric} {statistics.median(run[metric] for run in runs):.4f}" for metric in runs[0]))
        if not arguments.dry:
            record.append(record_rows(data, runs, baseline))


if __name__ == "__main__":
    main()
