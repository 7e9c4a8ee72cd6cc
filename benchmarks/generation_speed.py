"""Milliseconds to write one token, beside torch.nn.LSTM stepped in a plain loop with the same sizes.

    python benchmarks/language.py generation

Networks are not trained: weights do not change the time. Text is streamed token by token, each drawn with temperature
1; that a token costs the same wherever it stands, and that memory does not grow, is measured, not assumed. The peer
draws as the generate.py of pytorch/examples does: softmax of the last step's scores, then one draw.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import torch
from torch import nn

from gatework.data.text import Vocabulary, learn_vocabulary
from gatework.nn import Backbone
from gatework.tasks.language.network import LanguageNet
from gatework.tasks.language.writer import Writer

PEER = "torch.nn.LSTM in a plain loop"
TOKENS, FIRST = 2400, 400  # of a text; those before FIRST are not counted
TIME = 1.5  # a token at the end may take so much longer than one at the beginning
MEMORY = 1 << 20  # bytes that the process may grow by, where an allocator rounds up
_STATM = Path("/proc/self/statm")  # of Linux


def measure() -> list[dict[str, object]]:
    """Rows of the results file."""
    characters = learn_vocabulary("char", ["".join(chr(33 + number) for number in range(65))])
    words = learn_vocabulary("word", [" ".join(f"w{number}" for number in range(9997))])
    return [
        _row("char 1x128", characters, 64, 128, 1),
        _row("char 2x320", characters, 64, 320, 2),
        _row("word 2x200", words, 200, 200, 2),
    ]


def _row(name: str, vocabulary: Vocabulary, embedding: int, hidden: int, layers: int) -> dict[str, object]:
    torch.manual_seed(0)
    V = len(vocabulary)
    net = LanguageNet(Backbone(V, embedding, "lstm", hidden, layers), V, tie=False).eval()
    with torch.no_grad():
        net.head.bias[:3] = -1e4  # never the end of the text

    def writing() -> Iterator[str]:
        return Writer([net], vocabulary, "forward").stream("", limit=TOKENS, temperature=1.0, seed=0)

    mine, peer = [], []
    for _ in range(3):  # in turn
        mine.append(_times(writing()))
        peer.append(_times(_plain(V, embedding, hidden, layers)))
    slower, more = _slower(mine), _more(writing())
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
        "note": f"{TOKENS} tokens streamed one by one, best median of 3; the last take {slower:.2f} times as long "
        f"as the first, with {more} kB more memory; python benchmarks/language.py generation",
    }


def _times(tokens: Iterator[object]) -> list[float]:
    """Seconds between tokens, without the first ones."""
    marks = [time.perf_counter() for _ in tokens]
    return [b - a for a, b in pairwise(marks)][FIRST:]


def _slower(runs: list[list[float]]) -> float:
    """How many times as long the last tokens take as the first; ends the program where time grows with the text."""
    part = len(runs[0]) // 4
    growth = min(statistics.median(run[-part:]) / statistics.median(run[:part]) for run in runs)
    if growth > TIME:
        sys.exit(f"the last tokens take {growth:.2f} times as long as the first")
    return growth


def _more(writing: Iterator[str]) -> int:
    """Kilobytes that the process grows by from token FIRST to the last; ends the program where that is much."""
    before, after = (_resident(islice(writing, count)) for count in (FIRST, None))
    if after - before > MEMORY:
        sys.exit(f"the process grew by {after - before} bytes in {TOKENS - FIRST} tokens")
    return (after - before) // 1024


def _resident(tokens: Iterator[str]) -> int:
    """Bytes of memory that the process holds once these tokens are written; 0 where no file tells."""
    for _ in tokens:
        pass
    gc.collect()
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if _STATM.exists() else 0


@torch.no_grad()
def _plain(V: int, embedding: int, hidden: int, layers: int) -> Iterator[int]:
    encoder, lstm, decoder = nn.Embedding(V, embedding), nn.LSTM(embedding, hidden, layers), nn.Linear(hidden, V)
    token, state = torch.zeros(1, 1, dtype=torch.long), None
    for _ in range(TOKENS):
        y, state = lstm(encoder(token), state)
        token = torch.multinomial(decoder(y).view(-1).softmax(0), 1).view(1, 1)
        yield int(token)
