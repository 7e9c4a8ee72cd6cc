"""The tables of the README: newest rows, geometric means, the worst shape."""

import pytest
from report import FORECASTS, TEXTS, between, kernel_table, newest, score_table

from gatework.bench.record import COLUMNS


def row(**values: str) -> dict[str, str]:
    return dict.fromkeys(COLUMNS, "") | {"suite": "kernels", "metric": "seconds"} | values


def test_the_newest_measurement_counts():
    old = row(date="2026-01-01", cell="lstm", shape="a", ratio="1")
    new = row(date="2026-01-02", cell="lstm", shape="a", ratio="2")
    other = row(date="2026-01-01", cell="lstm", shape="b", ratio="3")
    assert [one["ratio"] for one in newest([new, old, other])] == ["2", "3"]


def test_kernel_table_shows_mean_and_worst_by_threads():
    common = {"cell": "lstm", "mode": "forward", "peer": "torch.nn.LSTM"}
    rows = [
        row(**common, threads="1", shape="a", ratio="1.0"),
        row(**common, threads="1", shape="b", ratio="4.0"),
        row(**common, threads="2", shape="a", ratio="0.8"),
        row(cell="new cell", mode="first use", metric="first use [s]", median="2.5"),
    ]
    lines = kernel_table(rows).splitlines()
    assert "| lstm forward | torch.nn.LSTM | >= 1.05, every shape >= 0.9 | **2.00** (1.00) | 0.80 |" in lines
    assert "| new cell, first use [s] |  | <= 3 | **2.50** | **2.50** |" in lines


def test_forecast_table_puts_peers_beside_ours():
    ours = {"suite": "forecast", "mode": "etth1-96"}
    rows = [
        row(**ours, metric="MSE", median="0.38"),
        row(**ours, metric="MSE", median="0.38", peer="DLinear", peer_median="0.386"),
        row(**ours, metric="MSE", median="0.38", peer="SegRNN", peer_median="0.368"),
        row(**ours, metric="CPU seconds", median="41.2"),
        row(**ours, metric="CPU seconds", median="41.2", peer="DLinear", peer_median="9.6"),
    ]
    expected = "| etth1-96 | MSE | 0.385 | **0.38** | 41 | SegRNN 0.368, DLinear 0.386 (10) |"
    assert expected in score_table(rows, "forecast", FORECASTS, "CPU seconds").splitlines()


def test_text_table_is_bold_where_more_is_enough():
    ours = {"suite": "text", "mode": "trec", "metric": "accuracy"}
    rows = [
        row(**ours, median="0.9120"),
        row(**ours, median="0.9120", peer="majority", peer_median="0.188"),
        row(**ours, median="0.9120", peer="TF-IDF + LR", peer_median="0.86"),
        row(suite="text", mode="trec", metric="seconds", median="63.4"),
        row(suite="text", mode="sst2", metric="accuracy", median="0.81"),
    ]
    lines = score_table(rows, "text", TEXTS, "seconds").splitlines()
    assert "| trec | accuracy | 0.90 | **0.912** | 63 | TF-IDF + LR 0.86, majority 0.188 |" in lines[3]
    assert "| sst2 | accuracy | 0.82 | 0.81 |" in lines[2]


def test_between_replaces_only_what_stands_there():
    assert between("a\n<!-- x -->\nold\n<!-- /x -->\nb", "x", "new") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb"
    with pytest.raises(ValueError, match="<!-- y -->"):
        between("a", "y", "new")
