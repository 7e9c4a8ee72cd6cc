"""Language models of public texts in their usual splits, beside published figures, and the speed of their training.

    python benchmarks/language.py tiny-shakespeare --threads 2
    python benchmarks/language.py ptb
    python benchmarks/language.py war-and-peace-1x128
    python benchmarks/language.py war-and-peace-recipe   what the published recipe of that size gives on this text
    python benchmarks/language.py speed         training beside the same model on torch.nn.LSTM in a plain loop
    python benchmarks/language.py generation    milliseconds to write a token

What is set beside the defaults stands in PROTOCOLS and in the note of every row. Settings were chosen by the validation
part; the test part is read once, in one state from its first token to its last. Seconds are those of `fit`.
"""

from __future__ import annotations

import argparse
import gzip
import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import char_recipe
import generation_speed
import language_speed
import record
import torch
from datasets import DATA

from gatework import LanguageModel

PUBLISHED = "published; see the README of the data"
UNTUNED = "a few epochs of nn.LSTM, not tuned"
RECIPE_HERE = "their recipe on this text"  # as `war-and-peace-recipe` measures it
NATS, PERPLEXITY = "nats per character", "perplexity"


@dataclass(frozen=True)
class Texts:
    """A text in parts; `test` is `validation` where the usual split has no third part."""

    train: str
    validation: str
    test: str


@dataclass(frozen=True)
class Protocol:
    """How a text is fitted and scored.

    Attributes:
        texts: gives the parts.
        metric: what counts.
        settings: what is set beside the defaults.
        others: {who: their figure}, published or of an untuned network.
    """

    texts: Callable[[], Texts]
    metric: str
    settings: dict[str, Any] = field(default_factory=dict)
    others: dict[str, float] = field(default_factory=dict)


def penn() -> Texts:
    """The Penn Treebank in Mikolov's form: 929,589 / 73,760 / 82,430 words with the ends of lines."""
    return Texts(*(_text(f"ptb/ptb.{part}.txt.gz") for part in ("train", "valid", "test")))


def shakespeare() -> Texts:
    """The first nine tenths, and the last tenth to validate on; there is no test part."""
    text = _text("tiny_shakespeare/input.txt.gz")
    cut = len(text) * 9 // 10
    return Texts(text[:cut], text[cut:], text[cut:])


def war_and_peace() -> Texts:
    """Eight tenths, a tenth and a tenth, by characters."""
    text = _text("war_and_peace/war_and_peace.txt.gz")
    first, second = len(text) * 8 // 10, len(text) * 9 // 10
    return Texts(text[:first], text[first:second], text[second:])


def _text(path: str) -> str:
    return gzip.decompress((DATA / path).read_bytes()).decode()


PROTOCOLS = {
    "ptb": Protocol(
        penn,
        PERPLEXITY,
        {
            "tokens": "word",
            "hidden_size": 200,
            "num_layers": 2,
            "embedding_size": 200,
            "input_dropout": 0.1,  # with 0.25 it still underfits after 8 epochs
            "dropout": 0.1,
            "output_dropout": 0.2,
            "optimiser": "sgd",
            "learning_rate": 20.0,
            "weight_decay": 0.0,
            "max_epochs": 8,
        },
        {"Zaremba et al. 2014, 2 layers of 200": 114.5},
    ),
    "tiny-shakespeare": Protocol(shakespeare, NATS, {"tokens": "char"}, {UNTUNED: 1.66}),
    "war-and-peace-1x128": Protocol(
        war_and_peace,
        NATS,
        {
            "tokens": "char",
            "hidden_size": 128,
            "num_layers": 1,
            "embedding_size": 128,
            "output_dropout": 0.0,
            "weight_decay": 0.0,
            "learning_rate": 0.004,  # at 0.01 it gets worse again after a few epochs
            "batch_size": 32,
            "max_epochs": 50,
            "patience": 0,
        },
        {"Karpathy et al. 2015, 1 layer of 128": 1.277, RECIPE_HERE: 1.337},
    ),
    "war-and-peace-2x256": Protocol(
        war_and_peace,
        NATS,
        {"tokens": "char", "hidden_size": 256, "num_layers": 2, "dropout": 0.1, "output_dropout": 0.1},
        {"Karpathy et al. 2015, 2 layers of 256": 1.137},
    ),
}

TIMES = {"speed": language_speed.measure, "generation": generation_speed.measure}
RECIPE = "war-and-peace-recipe"


def measure(data: str, seed: int) -> list[dict[str, object]]:
    """Fit, read the test part once, and give the rows of the results file."""
    if data == RECIPE:
        texts = war_and_peace()
        return char_recipe.measure(texts.train, texts.validation, texts.test, seed, data)
    protocol = PROTOCOLS[data]
    texts = protocol.texts()
    with tempfile.TemporaryDirectory() as folder:
        model = LanguageModel(**protocol.settings, seed=seed, runs=folder)
        wall, processor = time.perf_counter(), time.process_time()
        model.fit([texts.train], validation=[texts.validation])
        spent = {"seconds": time.perf_counter() - wall, "CPU seconds": time.process_time() - processor}
        evaluation = model.evaluate([texts.test])
    print(evaluation)
    known = {
        name: (_figure(protocol.metric, scores), "on the same text") for name, scores in evaluation.baselines.items()
    }
    known |= {
        name: (figure, f"python benchmarks/language.py {RECIPE}" if name == RECIPE_HERE else PUBLISHED)
        for name, figure in protocol.others.items()
    }
    said = ", ".join(f"{name}={value}" for name, value in protocol.settings.items())
    split = (
        "first 90 % and last 10 %, scored on what it was validated on"
        if texts.test == texts.validation
        else "test part"
    )
    note = f"{said}; {split}; python benchmarks/language.py {data} --seed {seed}"
    found = {protocol.metric: _figure(protocol.metric, evaluation.scores), **spent}
    mode = data.replace("-1x", " 1x").replace("-2x", " 2x")
    return record.score_rows("text", mode, [found], {protocol.metric: known}, note)


def _figure(metric: str, scores: dict[str, float]) -> float:
    return scores["bits per character"] * math.log(2) if metric == NATS else scores[metric]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=[*PROTOCOLS, RECIPE, *TIMES], help="what to measure")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the dropout")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--dry", action="store_true", help="print, record nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = TIMES[arguments.data]() if arguments.data in TIMES else measure(arguments.data, arguments.seed)
    for row in rows:
        beside = f"  beside {row['peer']} {row['peer_median']:.4g}" if row.get("peer") else ""
        print(f"{row['mode']:24} {row['metric']:20} {row['median']:.4f}{beside}")
    if not arguments.dry:
        record.append(rows)


if __name__ == "__main__":
    main()
