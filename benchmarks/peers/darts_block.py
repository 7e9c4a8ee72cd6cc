"""Darts' BlockRNNModel on AirPassengers: an LSTM of 64 units, 100 epochs, one thread.

pip install torch==2.13.0 darts && python benchmarks/peers/darts_block.py
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import datasets
import numpy as np
import record
import torch
from darts import TimeSeries
from darts.dataprocessing.transformers import Scaler
from darts.models import BlockRNNModel


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    train, truth = datasets.air()
    series = TimeSeries.from_dataframe(train, "ds", "y").astype(np.float32)
    start = time.process_time()
    scaler = Scaler()
    model = BlockRNNModel(
        input_chunk_length=36,
        output_chunk_length=12,
        model="LSTM",
        hidden_dim=64,
        n_epochs=100,
        random_state=0,
        pl_trainer_kwargs={"accelerator": "cpu", "enable_progress_bar": False},
    )
    model.fit(scaler.fit_transform(series))
    forecast = scaler.inverse_transform(model.predict(12)).values().ravel()
    scores = {"MAE": float(np.abs(forecast - truth).mean()), "CPU seconds": time.process_time() - start}
    print("air-passengers", "BlockRNN", scores)
    note = "LSTM of 64 units, input 36, 100 epochs; python benchmarks/peers/darts_block.py"
    record.append(record.peer_rows("air-passengers", "Darts BlockRNN", scores, note))


if __name__ == "__main__":
    main()
