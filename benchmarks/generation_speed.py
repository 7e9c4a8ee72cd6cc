"""Milliseconds to write one token, beside torch.nn.LSTM stepped in a plain loop with the same sizes.

    python benchmarks/language.py generation

Networks are not trained: weights do not change the time. Text is streamed token by token, each drawn with temperature
1; that a token costs the same wherever it stands is checked, not assumed. The peer draws as the generate.py of
pytorch/examples does: softmax of the last step's scores, then one draw.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn

from gatework.data.text import Vocabulary, learn_vocabulary
from gatework.nn import Backbone
from gatework.tasks.language.network import LanguageNet
from gatework.tasks.language.writer import Writer

PEER = "torch.nn.LSTM in a plain loop"
TOKENS, FIRST = 1200, 100  # of a text; those before FIRST are not counted
GROWTH = 1.5  # a token at the end may take so much longer than one at the beginning


def measure() -> list[dict[str, object]]:
    """Rows of the results file."""
    characters = learn_vocabulary("char", ["".join(chr(33 + number) for number in range(65))])
    words = learn_vocabulary("word", [" ".join(f"w{number}" for number in range(9997))])
    return [_row("char 2x320", characters, 64, 320), _row("word 2x200", words, 200, 200)]


def _row(name: str, vocabulary: Vocabulary, embedding: int, hidden: int) -> dict[str, object]:
    torch.manual_seed(0)
    V = len(vocabulary)
    net = LanguageNet(Backbone(V, embedding, "lstm", hidden, 2), V, tie=False).eval()
    with torch.no_grad():
        net.head.bias[:3] = -1e4  # never the end of the text
    mine, peer = [], []
    for _ in range(3):  # in turn
        writing = Writer([net], vocabulary, "forward").stream("", limit=TOKENS, temperature=1.0, seed=0)
        mine.append(_times(writing))
        peer.append(_times(_plain(V, embedding, hidden)))
    _check_steady(mine)
    ours, theirs = (min(statistics.median(run) for run in runs) for runs in (mine, peer))
    return {
        "suite": "text",
        "cell": "lstm",
        "backend": "auto",
        "mode": "generation",
        "shape": f"{name} V{V}",
        "threads": torch.get_num_threads(),
        "metric": "ms per token",
        "median": 1000 * ours,
        "peer": PEER,
        "peer_median": 1000 * theirs,
        "ratio": theirs / ours,
        "note": f"{TOKENS} tokens streamed one by one, best median of 3; python benchmarks/language.py generation",
    }


def _times(tokens: Iterator[object]) -> list[float]:
    """Seconds between tokens, without the first ones."""
    marks = [time.perf_counter() for _ in tokens]
    return [b - a for a, b in pairwise(marks)][FIRST:]


def _check_steady(runs: list[list[float]]) -> None:
    """End the program where later tokens cost more than earlier ones: memory and time must not grow."""
    part = len(runs[0]) // 4
    growth = min(statistics.median(run[-part:]) / statistics.median(run[:part]) for run in runs)
    if growth > GROWTH:
        sys.exit(f"the last tokens take {growth:.2f} times as long as the first")


@torch.no_grad()
def _plain(V: int, embedding: int, hidden: int) -> Iterator[int]:
    encoder, layers, decoder = nn.Embedding(V, embedding), nn.LSTM(embedding, hidden, 2), nn.Linear(hidden, V)
    token, state = torch.zeros(1, 1, dtype=torch.long), None
    for _ in range(TOKENS):
        y, state = layers(encoder(token), state)
        token = torch.multinomial(decoder(y).view(-1).softmax(0), 1).view(1, 1)
        yield int(token)
