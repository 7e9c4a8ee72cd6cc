"""Learning-rate finder: a short run in which the rate grows a little every step, until the loss blows up (Smith 2015).

Source: L. N. Smith, Cyclical learning rates for training neural networks, arXiv 1506.01186, section 3.3.
"""

from __future__ import annotations

import copy
import itertools
import math

import torch
from torch import nn

from gatework.train.groups import Thawing, partition
from gatework.train.optimiser import optimiser, set_learning_rate, sweep_range, usual_rate
from gatework.train.problem import Problem
from gatework.train.settings import Training

_SMOOTHING = 0.9


def find_learning_rate(problem: Problem, settings: Training, steps: int = 80) -> tuple[float, list[dict[str, float]]]:
    """Peak learning rate for `problem`, and the curve it was read from.

    Trains a copy of the network for at most `steps` steps while the rate grows from 1e-5 to 1 (AdamW; 1e-3 to 100
    without); stops when the smoothed loss is over four times its best. Groups scale the rate as they will in training,
    and those that begin frozen stay so. The rate returned is where the smoothed loss falls fastest (per factor of the
    rate), before its minimum. Network, sampler and what is carried are left as they were; random states are not.

    Returns:
        (learning_rate, rows), each row {"learning_rate", "loss"} with the smoothed loss.
    """
    net, groups = copy.deepcopy((problem.net, problem.groups))  # together, so that the groups hold the copy's weights
    keeping = [kept for kept in (problem.sampler, problem.carried) if kept is not None]
    before = [copy.deepcopy(kept.state_dict()) for kept in keeping]
    parts = partition(net, groups)
    Thawing(parts)
    low, _ = sweep_range(settings)
    rows = _sweep(problem, net.train(), optimiser(settings, parts, low), settings, steps)
    for kept, state in zip(keeping, before, strict=True):
        kept.load_state_dict(state)
    return _steepest(rows, usual_rate(settings)), rows


def _sweep(
    problem: Problem, net: nn.Module, optimiser: torch.optim.Optimizer, settings: Training, steps: int
) -> list[dict[str, float]]:
    low, high = sweep_range(settings)
    rows: list[dict[str, float]] = []
    smooth, best = 0.0, math.inf
    passes = itertools.chain.from_iterable(problem.sampler for _ in itertools.count())
    for step, numbers in enumerate(itertools.islice(passes, steps)):
        rate = low * (high / low) ** (step / max(steps - 1, 1))
        set_learning_rate(optimiser, rate)
        loss = problem.loss(net, problem.batch(numbers))
        value = float(loss.detach())
        smooth = _SMOOTHING * smooth + (1 - _SMOOTHING) * value
        corrected = smooth / (1 - _SMOOTHING ** (step + 1))
        if not math.isfinite(value) or (step > 5 and corrected > 4 * best):
            break
        best = min(best, corrected)
        rows.append({"learning_rate": rate, "loss": corrected})
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
        optimiser.step()
    return rows


def _steepest(rows: list[dict[str, float]], fallback: float) -> float:
    losses = [row["loss"] for row in rows]
    if len(losses) < 8:
        return fallback
    end = max(losses.index(min(losses)), 7)
    slopes = [losses[i + 3] - losses[i - 3] for i in range(3, end - 3)]
    if not slopes or min(slopes) >= 0:
        return fallback
    return rows[3 + slopes.index(min(slopes))]["learning_rate"]
