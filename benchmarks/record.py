"""The results file of this repository, written and read by the recorder that `gatework bench` uses too."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from gatework.bench import record
from gatework.bench.record import COLUMNS

__all__ = ["COLUMNS", "RESULTS", "append", "peer_rows", "read"]

RESULTS = Path(__file__).resolve().parent / "results.csv"
append = partial(record.append, path=RESULTS)
read = partial(record.read, RESULTS)


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
