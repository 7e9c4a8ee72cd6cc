"""NeuralForecast on the data of benchmarks/forecast.py: library defaults, 500 steps, one thread.

pip install torch==2.13.0 neuralforecast && python benchmarks/peers/neural_forecast.py m4-hourly LSTM
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import datasets
import numpy as np
import pandas as pd
import record
import torch
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MAE
from neuralforecast.models import LSTM, NHITS, DilatedRNN

MODELS = {"LSTM": LSTM, "DilatedRNN": DilatedRNN, "NHITS": NHITS}
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


def build(name: str, horizon: int, freq: str | int, **options: Any) -> NeuralForecast:
    if name == "NHITS":
        options["scaler_type"] = "robust"
    model = MODELS[name](h=horizon, max_steps=500, enable_checkpointing=False, **options, **QUIET)
    return NeuralForecast(models=[model], freq=freq)


def air(name: str) -> dict[str, float]:
    train, truth = datasets.air()
    start = time.process_time()
    forecasting = build(name, 12, "MS", input_size=36)
    forecasting.fit(train)
    forecast = forecasting.predict()[name].to_numpy()
    return {"MAE": float(np.abs(forecast - truth).mean()), "CPU seconds": time.process_time() - start}


def m4(kind: str, name: str) -> dict[str, float]:
    ids, train, truth = datasets.m4(kind)
    frame = datasets.long_frame(ids, train)
    start = time.process_time()
    forecasting = build(name, len(truth[0]), 1)
    forecasting.fit(frame)
    forecast = forecasting.predict()
    seconds = time.process_time() - start
    by_id = {str(key): part[name].to_numpy() for key, part in forecast.groupby("unique_id")}
    return {**datasets.owa(kind, train, truth, [by_id[key] for key in ids]), "CPU seconds": seconds}


def etth1(name: str) -> dict[str, float]:
    frame = datasets.etth1()
    start = time.process_time()
    forecasting = build(name, 96, "h", input_size=96, loss=MAE())
    held = datasets.ETT_TEST - datasets.ETT_VALID
    test = forecasting.cross_validation(frame, val_size=held, test_size=held, step_size=1, n_windows=None)
    seconds = time.process_time() - start
    error = (test[name] - test["y"]).to_numpy()
    return {"MSE": float(np.square(error).mean()), "MAE": float(np.abs(error).mean()), "CPU seconds": seconds}


RUNS = {
    "air-passengers": air,
    "m4-hourly": lambda name: m4("hourly", name),
    "m4-weekly": lambda name: m4("weekly", name),
    "etth1-96": etth1,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=RUNS)
    parser.add_argument("model", choices=MODELS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    pd.options.mode.copy_on_write = True
    scores = RUNS[arguments.data](arguments.model)
    print(arguments.data, arguments.model, scores)
    note = f"defaults, 500 steps; python benchmarks/peers/neural_forecast.py {arguments.data} {arguments.model}"
    record.append(record.peer_rows(arguments.data, f"NeuralForecast {arguments.model}", scores, note))


if __name__ == "__main__":
    main()
