"""GluonTS's DeepAR on the data of benchmarks/forecast.py: library defaults, one thread.

pip install torch==2.13.0 "gluonts[torch]" && python benchmarks/peers/gluon_deepar.py m4-hourly --epochs 100
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import warnings
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import datasets
import numpy as np
import pandas as pd
import record
import torch
from gluonts.dataset.common import ListDataset
from gluonts.torch.model.deepar import DeepAREstimator

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def series_of(values: Iterable[datasets.Array], freq: str) -> ListDataset:
    start = pd.Period("2000-01-03", freq)
    return ListDataset([{"start": start, "target": target} for target in values], freq=freq)


def exchange(epochs: int) -> dict[str, float]:
    frame = datasets.exchange()
    rates = [part["y"].to_numpy() for _, part in frame.groupby("unique_id", sort=False)]
    origins = range(datasets.EXCHANGE_TRAIN, datasets.EXCHANGE_TRAIN + 150, 30)
    start = time.process_time()
    estimator = DeepAREstimator(
        freq="B", prediction_length=30, context_length=60, trainer_kwargs={"max_epochs": epochs, **QUIET}
    )
    predictor = estimator.train(series_of([rate[: datasets.EXCHANGE_TRAIN] for rate in rates], "B"))
    forecasts = predictor.predict(series_of([rate[:origin] for origin in origins for rate in rates], "B"))
    quantiles = [np.stack([forecast.quantile(level) for level in datasets.LEVELS], -1) for forecast in forecasts]
    seconds = time.process_time() - start
    truth = np.stack([rate[origin : origin + 30] for origin in origins for rate in rates])
    return {"wQL": datasets.weighted_quantile_loss(truth, np.stack(quantiles)), "CPU seconds": seconds}


def m4_hourly(epochs: int) -> dict[str, float]:
    _, train, truth = datasets.m4("hourly")
    start = time.process_time()
    estimator = DeepAREstimator(freq="h", prediction_length=48, trainer_kwargs={"max_epochs": epochs, **QUIET})
    data = series_of(train, "h")
    forecast = [one.quantile(0.5) for one in estimator.train(data).predict(data)]
    return {**datasets.owa("hourly", train, truth, forecast), "CPU seconds": time.process_time() - start}


RUNS = {"exchange-rate": (exchange, 10), "m4-hourly": (m4_hourly, 100)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=RUNS)
    parser.add_argument("--epochs", type=int, help="of 50 batches (default: 10 for the rates, 100 for M4)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    run, epochs = RUNS[arguments.data]
    epochs = arguments.epochs or epochs
    scores = run(epochs)
    print(arguments.data, "DeepAR", scores)
    note = f"defaults, {epochs} epochs of 50 batches; python benchmarks/peers/gluon_deepar.py {arguments.data}"
    record.append(record.peer_rows(arguments.data, "GluonTS DeepAR", scores, note))


if __name__ == "__main__":
    main()
