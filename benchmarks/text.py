"""Classification and tagging of public corpora in their official splits, beside baselines and published figures.

    python benchmarks/text.py sst2 --seed 0
    python benchmarks/text.py crf-speed        the tagger's CRF beside one that loops in Python

What is set beside the defaults stands in PROTOCOLS and in the note of every row. Nothing is chosen by the test part,
which is looked at once. Seconds are those of `fit`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import corpora
import crf_speed
import record
import torch

from gatework import SequenceTagger, TextClassifier
from gatework.tasks.base import Task

PUBLISHED = "published; see the README of the data"
UNTUNED = "a minute of nn.LSTM, not tuned"
# Short texts in which each word counts: chosen on a fifth of TREC's training part.
SHORT = {
    "word_dropout": 0.1,
    "input_dropout": 0.3,
    "pooling": "concat",
    "character_filters": 20,
    "character_widths": (2, 3, 4),
    "learning_rate": 0.003,
}


@dataclass(frozen=True)
class Protocol:
    """How a corpus is fitted and scored.

    Attributes:
        task: the application.
        parts: the data.
        metric: the score that counts, in 0..1.
        settings: what is set beside the defaults.
        others: {who: their figure}, published or of an untuned network.
    """

    task: Callable[..., Task]
    parts: Callable[[], corpora.Parts]
    metric: str
    settings: dict[str, Any] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)


PROTOCOLS = {
    "sst2": Protocol(TextClassifier, corpora.sst2, "accuracy", {"members": 4}, {UNTUNED: 0.790}),
    "trec": Protocol(
        TextClassifier, corpora.trec, "accuracy", {"members": 5, "max_epochs": 10, **SHORT}, {UNTUNED: 0.854}
    ),
    "imdb": Protocol(TextClassifier, corpora.imdb, "accuracy", others={"plain LSTM": 0.865}),
    "imdb-transfer": Protocol(
        TextClassifier,
        corpora.imdb,
        "accuracy",
        {"pretrain": "same", "pretrain_epochs": 2, "direction": "both"},
        {"ULMFiT": 0.954, "ULMFiT, re-implemented": 0.921},
    ),
    "ewt": Protocol(SequenceTagger, corpora.ewt, "accuracy", {"members": 2, "max_epochs": 6}, {UNTUNED: 0.923}),
    "ncbi": Protocol(
        SequenceTagger,
        corpora.ncbi,
        "F1",
        {"members": 2},
        {UNTUNED: 0.811, "C-BiLSTM-CRF with vectors": 0.802, "SBLC with vectors": 0.862},
    ),
    "snips-slots": Protocol(
        SequenceTagger,
        corpora.snips_slots,
        "F1",
        {"members": 2},
        {UNTUNED: 0.874, "slot-gated": 0.888, "SF-ID": 0.922},
    ),
    "snips-intent": Protocol(
        TextClassifier, corpora.snips_intent, "accuracy", {"members": 3, **SHORT}, {"slot-gated": 0.970, "SF-ID": 0.974}
    ),
}


def measure(data: str, seed: int) -> list[dict[str, object]]:
    """Fit, score once on the test part, and give the rows of the results file."""
    protocol = PROTOCOLS[data]
    parts = protocol.parts()
    with tempfile.TemporaryDirectory() as folder:
        model = protocol.task(**protocol.settings, seed=seed, runs=folder)
        wall, processor = time.perf_counter(), time.process_time()
        model.fit(parts.train, validation=parts.validation)
        spent = {"seconds": time.perf_counter() - wall, "CPU seconds": time.process_time() - processor}
        evaluation = model.evaluate(parts.test)
    print(evaluation)
    metric = protocol.metric
    known = {name: (scores[metric], "on the same data") for name, scores in evaluation.baselines.items()}
    known |= {name: (figure, PUBLISHED) for name, figure in protocol.others.items()}
    said = ", ".join(f"{name}={value}" for name, value in protocol.settings.items()) or "defaults"
    note = f"{said}, official split; python benchmarks/text.py {data} --seed {seed}"
    return record.score_rows("text", data, [{metric: evaluation[metric], **spent}], {metric: known}, note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=[*PROTOCOLS, "crf-speed"], help="what to measure")
    parser.add_argument("--seed", type=int, default=0, help="of the weights, the dropout and the order of the examples")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = crf_speed.measure() if arguments.data == "crf-speed" else measure(arguments.data, arguments.seed)
    for row in rows:
        beside = f"  beside {row['peer']} {row['peer_median']:.4g}" if row.get("peer") else ""
        print(f"{row['mode']:24} {row['metric']:12} {row['median']:.4f}{beside}")
    if not arguments.dry:
        record.append(rows)


if __name__ == "__main__":
    main()
