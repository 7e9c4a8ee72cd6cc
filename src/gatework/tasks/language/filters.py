"""Filters of the next token's log-probabilities [B, V], one function each: what is ruled out becomes -inf.

Rows are independent of each other, natural logarithms throughout. A filter takes log-probabilities that need not sum to
one (another filter may have been there before), and always leaves the most probable token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

NEVER = -math.inf


def tempered(scores: Tensor, temperature: float) -> Tensor:
    """The logarithm of softmax(scores / temperature): below 1 sharper, above 1 flatter.

    Source: Ackley, Hinton & Sejnowski, A learning algorithm for Boltzmann machines (1985), eq. 1.
    """
    return (scores / temperature).log_softmax(-1)


def top_k(scores: Tensor, k: int) -> Tensor:
    """The `k` most probable tokens, and those equal to the last. Fan, Lewis & Dauphin, arXiv:1805.04833, 5.3."""
    least = scores.topk(min(k, scores.shape[-1])).values[:, -1:]
    return scores.masked_fill(scores < least, NEVER)


def top_p(scores: Tensor, mass: float) -> Tensor:
    """The smallest set of the most probable tokens that holds `mass`. Holtzman et al., arXiv:1904.09751, eq. 2-3."""
    scores = scores.log_softmax(-1)
    return _smallest_set(scores, scores.sort(dim=-1, descending=True, stable=True).indices, mass)


def min_p(scores: Tensor, share: float) -> Tensor:
    """Tokens with at least `share` of the most probable one's probability. Nguyen et al., arXiv:2407.01082, eq. 1-2."""
    return scores.masked_fill(scores < scores.amax(-1, keepdim=True) + math.log(share), NEVER)


def typical(scores: Tensor, mass: float) -> Tensor:
    """The smallest set that holds `mass` of tokens whose surprisal is nearest to the entropy, and the most probable.

    Source: Meister et al., Locally typical sampling, arXiv:2202.00666, eq. 11.
    """
    scores = scores.log_softmax(-1)
    entropy = -(scores.exp() * scores.clamp_min(-1e30)).sum(-1, keepdim=True)
    kept = _smallest_set(scores, (scores + entropy).abs().sort(dim=-1, stable=True).indices, mass)
    best = scores.argmax(-1, keepdim=True)
    return kept.scatter(-1, best, scores.gather(-1, best))


def repetition_penalty(scores: Tensor, recent: Sequence[Sequence[int]], penalty: float) -> Tensor:
    """Log-probabilities of each row's `recent` tokens times `penalty`; above 1 they become rarer.

    Source: Keskar et al. (CTRL), arXiv:1909.05858, section 4.1, whose scores are divided where they are positive; log-
    probabilities never are.
    """
    scores = scores.clone()
    for row, tokens in enumerate(recent):
        if tokens:
            ids = torch.tensor(tokens, device=scores.device)
            scores[row, ids] = scores[row, ids] * penalty
    return scores


def no_repeat(scores: Tensor, recent: Sequence[Sequence[int]], length: int) -> Tensor:
    """Without tokens that would repeat a run of `length` tokens of the row's `recent`. Paulus et al., 1705.04304, 2.5.

    A row in which nothing would be left is not changed.
    """
    scores = scores.clone()
    for row, tokens in enumerate(recent):
        if banned := repeats(tokens, length):
            ids = torch.tensor(banned, device=scores.device)
            before = scores[row, ids]
            scores[row, ids] = NEVER
            if bool(torch.isneginf(scores[row]).all()):
                scores[row, ids] = before
    return scores


def repeats(tokens: Sequence[int], length: int) -> list[int]:
    """Tokens that followed, anywhere in `tokens`, the same `length` - 1 tokens that stand at its end; ascending."""
    if len(tokens) < length:
        return []
    given = np.asarray(tokens)
    runs = np.lib.stride_tricks.sliding_window_view(given, length)  # [N - length + 1, length]
    tail = given[len(tokens) - length + 1 :]
    found: list[int] = np.unique(runs[(runs[:, :-1] == tail).all(1), -1]).tolist()
    return found


def _smallest_set(scores: Tensor, order: Tensor, mass: float) -> Tensor:
    """The first tokens in `order` [B, V] that together hold `mass`; the one that reaches it is in."""
    before = scores.gather(-1, order).exp().cumsum(-1).roll(1, -1)
    before[:, 0] = 0
    out = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= mass)
    return scores.masked_fill(out, NEVER)
