"""Training of a word model beside the same model on torch.nn.LSTM in a plain loop, as pytorch/examples has it.

    python benchmarks/language.py speed --threads 2

Two layers of 200 units over vectors of 200, 20 streams of 35 words at a time, dropout 0.2, gradient descent at 20 with
gradients clipped at 0.25, on a text of 10,000 different words: the settings of pytorch/examples,
word_language_model/main.py. Both have the same weights and read the same words, in turn, in one process. They are timed
only after their losses and gradients were found equal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import chain, cycle, repeat

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gatework.bench.timing import Repeats, alternate
from gatework.data.text import learn_vocabulary
from gatework.data.text.encoding import SPECIAL
from gatework.tasks.language.network import LanguageNet, language_problem
from gatework.tasks.language_model import LanguageModelConfig
from gatework.train.groups import partition
from gatework.train.optimiser import optimiser
from gatework.train.problem import Problem
from gatework.train.settings import Training

PEER = "torch.nn.LSTM in a plain loop"
WORDS, WIDTH, LAYERS, DROPOUT = 10_000, 200, 2, 0.2
STREAMS, LENGTH, RATE, CLIP = 20, 35, 20.0, 0.25
STEPS = 4  # of a timed round
TOLERANCE = 1e-5  # relative, both float32
REPEATS = Repeats(seconds=20.0, least=10, most=40)


class PlainModel(nn.Module):
    """The model of the example: embedding, dropout, nn.LSTM, dropout, linear layer, log_softmax."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words = words
        self.drop = nn.Dropout(DROPOUT)
        self.encoder = nn.Embedding(words, WIDTH)
        self.layers = nn.LSTM(WIDTH, WIDTH, LAYERS, dropout=DROPOUT)
        self.decoder = nn.Linear(WIDTH, words)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """log p of every word after each of x [T, B], [T B, words], and the state."""
        y, state = self.layers(self.drop(self.encoder(x)), state)
        return F.log_softmax(self.decoder(self.drop(y)).view(-1, self.words), 1), state

    def take(self, net: LanguageNet) -> None:
        """The weights of our network."""
        with torch.no_grad():
            self.encoder.weight.copy_(net.backbone.embedding.weight)
            self.decoder.weight.copy_(net.head.weight)
            self.decoder.bias.copy_(net.head.bias)
            for number, layer in enumerate(net.backbone.layers):
                for name, value in layer.named_parameters():
                    self.layers.get_parameter(name.replace("_l0", f"_l{number}")).copy_(value)


def measure() -> list[dict[str, object]]:
    """The row of the results file: how many times the peer's words a second are trained on."""
    problem, ids = _problem()
    plain = PlainModel(len(problem.net.backbone.embedding.weight))
    plain.take(problem.net)
    _check_equal(problem, plain)
    mine, peer = alternate([_steps(_ours(problem)), _steps(_theirs(plain, ids))], REPEATS)
    words = STEPS * STREAMS * LENGTH
    return [
        {
            "suite": "text",
            "cell": "lstm",
            "backend": "auto",
            "mode": "word-lm speed",
            "shape": f"2x{WIDTH} V{WORDS} T{LENGTH} B{STREAMS}",
            "threads": torch.get_num_threads(),
            "metric": "ratio",
            "median": peer.median / mine.median,
            "peer": PEER,
            "peer_median": 1.0,
            "ratio": peer.median / mine.median,
            "note": f"{words / mine.median:.0f} and {words / peer.median:.0f} words a second in training; "
            f"{mine.count} rounds; python benchmarks/language.py speed",
        }
    ]


def _problem() -> tuple[Problem, Tensor]:
    """Our model's training as `fit` makes it, and its text: words drawn as often as those of a language are."""
    torch.manual_seed(0)
    config = LanguageModelConfig.model_validate(
        {
            "tie": False,
            "model": {
                "hidden_size": WIDTH,
                "num_layers": LAYERS,
                "embedding_size": WIDTH,
                "word_dropout": 0.0,
                "dropout": DROPOUT,
                "input_dropout": DROPOUT,
                "output_dropout": DROPOUT,
                "weight_drop": 0.0,
            },
            "training": {
                "optimiser": "sgd",
                "learning_rate": RATE,
                "weight_decay": 0.0,
                "clip_norm": CLIP,
                "batch_size": STREAMS,
                "length": LENGTH,
            },
        }
    )
    vocabulary = learn_vocabulary("word", [" ".join(f"w{number}" for number in range(WORDS - len(SPECIAL)))])
    odds = 1 / torch.arange(1, WORDS - len(SPECIAL) + 1)  # Zipf's law
    ids = len(SPECIAL) + odds.multinomial(STREAMS * LENGTH * 50 + 1, replacement=True)
    assert len(vocabulary) == WORDS
    return language_problem(config, vocabulary, ids, None, 0), ids


def _check_equal(problem: Problem, plain: PlainModel) -> None:
    """End the program where a loss or a gradient differs: a time is not reported of something else."""
    net, state = problem.net.eval(), None
    plain.eval()
    for _, numbers in zip(range(3), problem.sampler, strict=False):
        batch = problem.batch(numbers)
        net.zero_grad()
        plain.zero_grad()
        loss = problem.loss(net, batch)
        scores, state = plain(batch["x"].T.contiguous(), state)
        state = _cut(state)
        peer = F.nll_loss(scores, batch["y"].T.flatten())
        loss.backward()
        peer.backward()
        pairs = {
            "losses": (loss.detach(), peer.detach()),
            "embedding gradients": (net.backbone.embedding.weight.grad, plain.encoder.weight.grad),
        }
        pairs["output gradients"] = net.head.weight.grad, plain.decoder.weight.grad
        for what, (a, b) in pairs.items():
            if (a - b).norm() > TOLERANCE * b.norm():
                sys.exit(f"{what} differ: norms {float(a.norm())} and {float(b.norm())}")
    net.train()
    plain.train()


def _ours(problem: Problem) -> Iterator[None]:
    """Training steps, one each time it is asked for."""
    settings = Training(optimiser="sgd", learning_rate=RATE, weight_decay=0.0)
    descent = optimiser(settings, partition(problem.net, None), RATE)
    for numbers in chain.from_iterable(repeat(problem.sampler)):
        loss = problem.loss(problem.net, problem.batch(numbers))
        descent.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(problem.net.parameters(), CLIP)
        descent.step()
        yield


def _theirs(plain: PlainModel, ids: Tensor) -> Iterator[None]:
    """The same of the plain loop."""
    criterion, steps = nn.NLLLoss(), (len(ids) - 1) // STREAMS
    text = ids[: STREAMS * steps + 1]
    x, y = (part.view(STREAMS, steps).T.contiguous() for part in (text[:-1], text[1:]))
    state = None
    for start in cycle(range(0, steps, LENGTH)):
        plain.zero_grad()
        scores, state = plain(x[start : start + LENGTH], state)
        state = _cut(state)
        loss = criterion(scores, y[start : start + LENGTH].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), CLIP)
        for parameter in plain.parameters():
            parameter.data.add_(parameter.grad, alpha=-RATE)
        yield


def _cut(state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return state[0].detach(), state[1].detach()


def _steps(training: Iterator[None]) -> Callable[[], None]:
    """A round of steps."""

    def run() -> None:
        for _ in range(STEPS):
            next(training)

    return run
