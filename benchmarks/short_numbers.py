"""What a trained model loses with fewer bits: a character model of tiny_shakespeare in float32, bfloat16 and int8.

    python benchmarks/short_numbers.py                 one layer of 256 units, two minutes of training on one core
    python benchmarks/short_numbers.py --seconds 20 --hidden 128 --dry

The model is trained in float32 on the first nine tenths of the text and read on the last tenth, its state carried on
from window to window. The figure is the mean of -log2 p(next character): bits per character, lower is better. Weights
of eight bits and bfloat16 are those of the trained model, rounded; there is no training after it.
"""

from __future__ import annotations

import argparse
import gzip
import math
import time
from collections.abc import Callable
from typing import Any

import datasets
import record
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatework.nn import LSTM, quantize
from gatework.say import line

B, T = 32, 100
Layer = Callable[..., tuple[Tensor, Any]]


def characters() -> tuple[Tensor, Tensor, int]:
    """Training text, test text (both as numbers of characters) and how many characters there are."""
    raw = gzip.decompress((datasets.DATA / "tiny_shakespeare" / "input.txt.gz").read_bytes()).decode()
    known = {c: k for k, c in enumerate(sorted(set(raw)))}
    text = torch.tensor([known[c] for c in raw])
    cut = len(text) * 9 // 10
    return text[:cut], text[cut:], len(known)


class Model(nn.Module):
    """Embedding, one LSTM, and a linear map to the logits of the next character."""

    def __init__(self, n: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n, 64)
        self.layer = LSTM(64, hidden, forget_bias=1.0)
        self.head = nn.Linear(hidden, n)

    def bits(self, layer: Layer, text: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Bits per character of text [T + 1, B] with this layer in the place of the model's own, and its state."""
        y, state = layer(self.embedding(text[:-1]), state)
        loss = F.cross_entropy(self.head(y).flatten(0, 1), text[1:].flatten())
        return loss / math.log(2), state


def windows(text: Tensor, rows: int) -> Tensor:
    """Text as `rows` streams side by side [windows, T + 1, rows]; each window begins with the last character before."""
    n = (len(text) - 1) // rows // T
    streams = text[: rows * n * T + 1]
    columns = torch.stack([streams[r * n * T : (r + 1) * n * T + 1] for r in range(rows)], 1)
    return columns.unfold(0, T + 1, T).permute(0, 2, 1)


def train(model: Model, text: Tensor, seconds: float) -> int:
    """Truncated backpropagation with the state carried on, until the time is up; returns the number of steps."""
    parts, steps, state = windows(text, B), 0, None
    optimiser, end = torch.optim.Adam(model.parameters(), 3e-3), time.process_time() + seconds
    while time.process_time() < end:
        if steps % len(parts) == 0:
            state = None
        left = (end - time.process_time()) / seconds
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1.0, max(0.01, 2 * left))
        loss, state = model.bits(model.layer, parts[steps % len(parts)], state)
        state = tuple(s.detach() for s in state)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        steps += 1
    return steps


@torch.no_grad()
def score(model: Model, layer: Layer, text: Tensor) -> float:
    """Bits per character of the whole text, read in four streams."""
    total, state, parts = 0.0, None, windows(text, 4)
    for part in parts:
        bits, state = model.bits(layer, part, state)
        total += float(bits)
    return total / len(parts)


def in_bfloat16(layer: LSTM) -> Layer:
    """A layer's copy in bfloat16, with float32 around it."""
    short = LSTM(layer.input_size, layer.hidden_size).to(torch.bfloat16)
    short.load_state_dict(layer.state_dict())

    def run(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        y, state = short(x.bfloat16(), state)
        return y.float(), state

    return run


def main() -> None:
    """Train, score and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="of training, processor time (default 120)")
    parser.add_argument("--hidden", type=int, default=256, help="units (default 256)")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    options = parser.parse_args()
    torch.manual_seed(0)
    first, last, n = characters()
    model = Model(n, options.hidden)
    steps = train(model, first, options.seconds)
    layers = {"float32": model.layer, "bfloat16": in_bfloat16(model.layer), "int8": quantize(model.layer)}
    bits = {name: score(model, layer, last) for name, layer in layers.items()}
    for name, figure in bits.items():
        line(f"{name:>8}: {figure:.4f} bits per character ({figure - bits['float32']:+.4f})")
    rows = [
        {
            "suite": "precision",
            "cell": "lstm",
            "backend": "cpp",
            "mode": f"tiny_shakespeare {name}",
            "shape": f"H{options.hidden}",
            "threads": torch.get_num_threads(),
            "metric": "bits per character",
            "median": figure,
            "peer": "float32",
            "peer_median": bits["float32"],
            "note": f"trained for {steps} steps in {options.seconds:.0f} s, then rounded",
        }
        for name, figure in bits.items()
        if name != "float32"
    ]
    if not options.dry:
        record.append(rows)


if __name__ == "__main__":
    main()
