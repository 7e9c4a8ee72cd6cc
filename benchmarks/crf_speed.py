"""The sequence tagger beside the same network with a CRF that loops over time in Python (pytorch-crf).

    pip install pytorch-crf && python benchmarks/text.py crf-speed

Both networks have the same weights and see the same batches, in turn, in one process. They are timed only after their
losses and the tags that they predict were found equal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from copy import deepcopy
from functools import partial

import corpora
import torch
from torch import Tensor, nn

from gatework.bench.timing import Repeats, alternate
from gatework.data.text import Buckets
from gatework.tasks.sequence_tagger import SequenceTaggerConfig
from gatework.tasks.tagging.choices import choose, learn
from gatework.tasks.tagging.network import TaggerNet
from gatework.tasks.tagging.problem import tagging_problem
from gatework.tasks.tagging.tagged_set import TaggedSet
from gatework.train.problem import Batch, Problem

try:
    from torchcrf import CRF as LoopCRF
except ImportError:
    sys.exit("pytorch-crf is not installed; pip install pytorch-crf")

PEER = "pytorch-crf"
FORBIDDEN = -1e4  # score of a transition that is not legal; pytorch-crf has no table of those
CORPORA = {"snips slots": corpora.snips_slots, "ncbi": corpora.ncbi}
BATCHES = 8
SIZES = {"training": (32,), "prediction": (32, 256)}  # sentences of a batch; the tagger predicts some hundreds at once
LOSS_TOLERANCE = 1e-4  # relative, both float32; the scores of forbidden transitions round differently
REPEATS = Repeats(seconds=20.0, least=7, most=60)


class LoopTagger(nn.Module):
    """A tagger's network under a CRF that loops over time in Python."""

    def __init__(self, tagger: TaggerNet) -> None:
        super().__init__()
        self.tagger, self.loop = deepcopy(tagger), LoopCRF(tagger.crf.tags, batch_first=True)
        own = self.tagger.crf
        with torch.no_grad():
            self.loop.transitions.copy_(own.transitions.masked_fill(~own.legal, FORBIDDEN))
            self.loop.start_transitions.copy_(own.first.masked_fill(~own.starts, FORBIDDEN))
            self.loop.end_transitions.copy_(own.last.masked_fill(~own.ends, FORBIDDEN))
        del self.tagger.crf

    def loss(self, batch: Batch) -> Tensor:
        """Mean over the words of -log p(tags | words)."""
        inside = _inside(batch)
        return -self.loop(self.tagger(batch), batch["tags"], inside, reduction="sum") / inside.sum()

    @torch.no_grad()
    def tags(self, batch: Batch) -> list[list[int]]:
        """The most probable tags of each sentence."""
        found: list[list[int]] = self.loop.decode(self.tagger(batch), _inside(batch))
        return found


def measure() -> list[dict[str, object]]:
    """Rows of the results file: how many times the peer's sentences a second the tagger reads."""
    return [row for name, read in CORPORA.items() for row in _compare(name, read())]


def _compare(name: str, parts: corpora.Parts) -> list[dict[str, object]]:
    problem, lengths = _problem(parts)
    ours, theirs = problem.net, LoopTagger(problem.net)
    steps = [_training(ours, partial(problem.loss, ours)), _training(theirs, theirs.loss)]
    rows = []
    for mode, pair in (("training", steps), ("prediction", [partial(_tags, ours), theirs.tags])):
        for size in SIZES[mode]:
            batches = _batches(problem, lengths, size)
            _check_equal(problem, theirs, batches)
            for net in (ours, theirs):
                net.train(mode == "training")
            mine, peer = alternate([partial(_all, function, batches) for function in pair], REPEATS)
            shape = f"{name} B{size} K{ours.crf.tags}"
            rows.append(_row(mode, shape, BATCHES * size / mine.median, BATCHES * size / peer.median))
    return rows


def _row(mode: str, shape: str, mine: float, peer: float) -> dict[str, object]:
    return {
        "suite": "text",
        "cell": "lstm",
        "backend": "auto",
        "mode": f"crf speed {mode}",
        "shape": shape,
        "threads": torch.get_num_threads(),
        "metric": "ratio",
        "median": mine / peer,
        "peer": PEER,
        "peer_median": 1.0,
        "ratio": mine / peer,
        "note": f"{mine:.0f} and {peer:.0f} sentences a second; python benchmarks/text.py crf-speed",
    }


def _problem(parts: corpora.Parts) -> tuple[Problem, Tensor]:
    """The tagger as `fit` makes it, and the words of each sentence of its training part."""
    torch.manual_seed(0)
    config = SequenceTaggerConfig()
    dataset = TaggedSet.read(parts.train, parts.validation, config.tags, 10, 0)
    config = choose(config, dataset)
    problem = tagging_problem(config, learn(config, dataset), dataset.train, dataset.held, 0)
    return problem, torch.tensor([len(words) for words in dataset.train.sentences])


def _batches(problem: Problem, lengths: Tensor, size: int) -> list[Batch]:
    full = (numbers for numbers in Buckets(lengths, size, seed=0) if len(numbers) == size)
    return [problem.batch(numbers) for numbers, _ in zip(full, range(BATCHES), strict=False)]


def _check_equal(problem: Problem, theirs: LoopTagger, batches: list[Batch]) -> None:
    """End the program where losses or predicted tags differ: a time is not reported of something else."""
    problem.net.eval()
    theirs.eval()
    with torch.no_grad():
        for batch in batches:
            losses = [float(problem.loss(problem.net, batch)), float(theirs.loss(batch))]
            if abs(losses[0] - losses[1]) > LOSS_TOLERANCE * abs(losses[1]):
                sys.exit(f"losses differ: {losses[0]} and {losses[1]}")
            if _tags(problem.net, batch) != theirs.tags(batch):
                sys.exit("predicted tags differ")


def _training(net: nn.Module, loss: Callable[[Batch], Tensor]) -> Callable[[Batch], None]:
    """A training step: loss, gradients and an update that leaves the weights as they are."""
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.0, weight_decay=0.0)

    def step(batch: Batch) -> None:
        optimiser.zero_grad()
        loss(batch).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()

    return step


@torch.no_grad()
def _tags(net: TaggerNet, batch: Batch) -> list[list[int]]:
    lengths = batch["lengths"]
    rows = net.crf.decode(net(batch), lengths).tolist()
    return [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]


def _all(function: Callable[[Batch], object], batches: list[Batch]) -> None:
    for batch in batches:
        function(batch)


def _inside(batch: Batch) -> Tensor:
    return torch.arange(batch["ids"].shape[1]) < batch["lengths"].unsqueeze(1)
