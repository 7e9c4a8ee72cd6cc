"""The recipe of Karpathy, Johnson & Li (arXiv:1506.02078, section 3) on the text at hand, to stand beside its figures.

    python benchmarks/language.py war-and-peace-recipe

The edition of War and Peace that the paper read is longer than the one here by 50,000 characters and has fewer distinct
ones. What one layer of 128 gives on this one is measured here: characters as one-hot vectors, weights drawn from
-0.08..0.08, RMSprop at 0.002 with a decay of 0.95, 100 streams, 100 characters at a time, 50 epochs, and from the tenth
on 0.95 of the rate each epoch. The weights that were best on the validation part are scored, in one state along the
text.
"""

from __future__ import annotations

import copy
import time

import record
import torch
from torch import Tensor, nn
from torch.nn import functional

from gatework.nn import LSTM

HIDDEN, STREAMS, LENGTH, EPOCHS = 128, 100, 100, 50
RATE, SMOOTHING, DECAY, DECAY_FROM, START, CLIP = 2e-3, 0.95, 0.95, 10, 0.08, 5.0
METRIC = "nats per character"


class Characters(nn.Module):
    """One layer of an LSTM over one-hot characters."""

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.kinds = kinds
        self.layer = LSTM(kinds, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, kinds)
        for p in self.parameters():
            nn.init.uniform_(p, -START, START)

    def forward(self, ids: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Scores [B, T, V] of what comes next, and the state."""
        y, state = self.layer(functional.one_hot(ids, self.kinds).float(), state)
        return self.head(y), state


def measure(train: str, validation: str, test: str, seed: int, data: str) -> list[dict[str, object]]:
    """Train, and give the rows of the results file."""
    torch.manual_seed(seed)
    kinds = {character: number for number, character in enumerate(sorted(set(train + validation + test)))}
    parts = [torch.tensor([kinds[character] for character in text]) for text in (train, validation, test)]
    net = Characters(len(kinds))
    began, cpu = time.perf_counter(), time.process_time()
    best = _train(net, parts[0], parts[1])
    spent = {"seconds": time.perf_counter() - began, "CPU seconds": time.process_time() - cpu}
    net.load_state_dict(best)
    note = f"the paper's recipe, without dropout; test part; python benchmarks/language.py {data} --seed {seed}"
    return record.score_rows(
        "text", data.replace("-recipe", " 1x128, recipe"), [{METRIC: _score(net, parts[2]), **spent}], {}, note
    )


def _train(net: Characters, train: Tensor, validation: Tensor) -> dict[str, Tensor]:
    """The weights that were best on the validation part."""
    optimiser = torch.optim.RMSprop(net.parameters(), lr=RATE, alpha=SMOOTHING)
    steps = (len(train) - 1) // STREAMS
    x, y = (train[start : start + STREAMS * steps].view(STREAMS, steps) for start in (0, 1))
    least, best = float("inf"), copy.deepcopy(net.state_dict())
    for epoch in range(1, EPOCHS + 1):
        state, total = None, 0.0
        for start in range(0, steps - LENGTH + 1, LENGTH):
            scores, state = net(x[:, start : start + LENGTH], state)
            state = tuple(part.detach() for part in state)
            loss = functional.cross_entropy(scores.flatten(0, 1), y[:, start : start + LENGTH].flatten())
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(net.parameters(), CLIP)
            optimiser.step()
            total += loss.item()
        score = _score(net, validation)
        print(f"epoch {epoch}  training {total / (steps // LENGTH):.4f}  validation {score:.4f}", flush=True)
        if score < least:
            least, best = score, copy.deepcopy(net.state_dict())
        if epoch >= DECAY_FROM:
            for group in optimiser.param_groups:
                group["lr"] *= DECAY
    return best


@torch.no_grad()
def _score(net: Characters, ids: Tensor) -> float:
    """Mean surprisal of the characters after the first, in nats, in one state."""
    state, total = None, 0.0
    for start in range(0, len(ids) - 1, 10_000):
        part = ids[start : start + 10_001]
        scores, state = net(part[None, :-1], state)
        total += functional.cross_entropy(scores[0], part[1:], reduction="sum").item()
    return total / (len(ids) - 1)
