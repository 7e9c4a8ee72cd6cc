"""The results file of this repository, written and read by the recorder that `gatework bench` uses too."""

import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from gatework.bench import record
from gatework.bench.record import COLUMNS

__all__ = ["COLUMNS", "RESULTS", "append", "peer_rows", "read", "score_rows"]

RESULTS = Path(__file__).resolve().parent / "results.csv"
append = partial(record.append, path=RESULTS)
read = partial(record.read, RESULTS)


def score_rows(
    suite: str,
    data: str,
    runs: Sequence[Mapping[str, float]],
    beside: Mapping[str, Mapping[str, tuple[float, str]]],
    note: str,
    cell: str = "lstm",
) -> list[dict[str, object]]:
    """Rows for every score of repeated runs: alone, and beside every peer that has a figure for it.

    Args:
        suite: what the figures belong to, such as "forecast".
        data: what was measured on.
        runs: {metric: score} of each run; the median is what counts.
        beside: {metric: {peer: (figure, note)}}.
        note: how the figures came about, with the command.
        cell: of the network.
    """
    rows: list[dict[str, object]] = []
    for metric in runs[0]:
        values = [run[metric] for run in runs]
        median = statistics.median(values)
        row: dict[str, object] = {
            "suite": suite,
            "cell": cell,
            "backend": "auto",
            "mode": data,
            "threads": torch.get_num_threads(),
            "metric": metric,
            "median": median,
            "p20": float(np.quantile(values, 0.2)),
            "p80": float(np.quantile(values, 0.8)),
            "note": note,
        }
        rows.append(row)
        for peer, (figure, words) in beside.get(metric, {}).items():
            rows.append({**row, "peer": peer, "peer_median": figure, "ratio": median / figure, "note": words})
    return rows


def peer_rows(data: str, peer: str, scores: Mapping[str, float], note: str) -> list[dict[str, object]]:
    """Rows for a peer's scores on a forecasting data set, beside our newest figure where there is one."""
    rows: list[dict[str, object]] = []
    for metric, figure in scores.items():
        same = [row for row in read() if (row["suite"], row["mode"], row["metric"]) == ("forecast", data, metric)]
        ours = float(same[-1]["median"]) if same and same[-1]["median"] else None
        rows.append(
            {
                "suite": "forecast",
                "cell": "lstm",
                "backend": "auto",
                "mode": data,
                "threads": 1,
                "metric": metric,
                "median": "" if ours is None else ours,
                "peer": peer,
                "peer_median": figure,
                "ratio": "" if ours is None else ours / figure,
                "note": note,
            }
        )
    return rows
