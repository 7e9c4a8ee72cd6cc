"""Sums and maxima over all paths of a linear chain, in a plain loop over time: what the compiled ones are held against.

A path y scores first[y_1] + sum_t scores[t, y_t] + sum_t transitions[y_t-1, y_t] + last[y_T]. What is forbidden scores
-inf. `lengths` [B] are whole numbers in 0..T; a row of length 0 has one path, which is empty and scores 0. Everything
can be differentiated, as often as wanted.

Source: Lafferty, McCallum & Pereira, Conditional random fields (ICML 2001), section 3; Rabiner, A tutorial on hidden
Markov models (Proc. IEEE 77, 1989), section III.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Chain:
    """What does not depend on the input, with -inf where something is forbidden.

    Attributes:
        transitions: [K, K], from the row's tag to the column's.
        first, last: [K], of beginning and ending with a tag.
    """

    transitions: Tensor
    first: Tensor
    last: Tensor


def total(chain: Chain, scores: Tensor, lengths: Tensor) -> Tensor:
    """The logarithm of the sum of exp(score) over all paths, [B]; -inf where no path is legal."""
    if not scores.shape[1]:
        return scores.new_zeros(len(scores))
    forward = _forward(chain, _inside(scores, lengths), lengths)[-1]
    return torch.where(lengths > 0, _logsumexp(forward + chain.last, 1), 0.0)


def path_score(chain: Chain, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
    """The score of one path, [B]; what `tags` [B, T] hold past each length is not looked at."""
    if not scores.shape[1]:
        return scores.new_zeros(len(scores))
    inside = torch.arange(scores.shape[1], device=scores.device) < lengths[:, None]
    path = torch.where(inside, tags, 0)
    emitted = torch.where(inside, scores.gather(2, path[:, :, None]).squeeze(2), 0.0).sum(1)
    moved = torch.where(inside[:, 1:], chain.transitions[path[:, :-1], path[:, 1:]], 0.0).sum(1)
    end = path.gather(1, (lengths - 1).clamp_min(0)[:, None]).squeeze(1)
    return torch.where(lengths > 0, emitted + moved + chain.first[path[:, 0]] + chain.last[end], 0.0)


def marginals(chain: Chain, scores: Tensor, lengths: Tensor) -> Tensor:
    """The probability of each tag at each step over all paths, [B, T, K]; 0 past each length."""
    B, T, K = scores.shape
    if not T:
        return scores.new_zeros(B, 0, K)
    scores = _inside(scores, lengths)
    forward = _forward(chain, scores, lengths)
    backward = [chain.last.expand(B, K)]
    for t in range(T - 2, -1, -1):
        after = _logsumexp(chain.transitions + (scores[:, t + 1] + backward[0])[:, None, :], 2)
        backward.insert(0, torch.where((t + 1 < lengths)[:, None], after, backward[0]))
    found = torch.exp(torch.stack(forward, 1) + torch.stack(backward, 1) - total(chain, scores, lengths)[:, None, None])
    return _inside(found, lengths)


def best(chain: Chain, scores: Tensor, lengths: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The n paths of the highest score: tags [B, n, T], 0 past each length, and scores [B, n], falling.

    Where there are fewer legal paths the scores of the rest are -inf and their tags 0.
    """
    B, T, K = scores.shape
    if not T:
        found = scores.new_full((B, n), -math.inf)
        found[:, 0] = 0.0
        return torch.zeros((B, n, 0), dtype=torch.long, device=scores.device), found
    none = scores.new_full((B, K, n - 1), -math.inf)
    reached = torch.cat([(chain.first + scores[:, 0])[:, :, None], none], 2)  # the n best that end in each tag
    came: list[Tensor] = []
    for t in range(1, T):
        candidates = reached[:, :, :, None] + chain.transitions[None, :, None, :]  # [B, from, rank, to]
        values, choice = candidates.flatten(1, 2).topk(n, 1)  # choice = from * n + rank
        running = (t < lengths)[:, None, None]
        reached = torch.where(running, values.transpose(1, 2) + scores[:, t, :, None], reached)
        came.append(choice.transpose(1, 2))  # [B, to, rank]
    values, choice = (reached + chain.last[:, None]).flatten(1).topk(n, 1)
    tags = scores.new_zeros((B, n, T), dtype=torch.long)
    for t in range(T - 1, -1, -1):
        tags[:, :, t] = torch.where((t < lengths)[:, None], choice // n, 0)
        if t:
            before = came[t - 1].flatten(1).gather(1, choice)
            choice = torch.where((t < lengths)[:, None], before, choice)
    legal = values > -math.inf
    empty = (lengths == 0)[:, None]
    values = torch.where(empty, torch.where(torch.arange(n, device=scores.device) == 0, 0.0, -math.inf), values)
    return torch.where(legal[:, :, None], tags, 0), values


def _inside(x: Tensor, lengths: Tensor) -> Tensor:
    """[B, T, K] with zeros past each length, where nan may stand, whose gradient would be nan too."""
    return torch.where((torch.arange(x.shape[1], device=x.device) < lengths[:, None])[:, :, None], x, 0.0)


def _forward(chain: Chain, scores: Tensor, lengths: Tensor) -> list[Tensor]:
    """For each step t the logarithm of the sum over all beginnings that are in each tag at t, [B, K]."""
    forward = [chain.first + scores[:, 0]]
    for t in range(1, scores.shape[1]):
        after = _logsumexp(forward[-1][:, :, None] + chain.transitions, 1) + scores[:, t]
        forward.append(torch.where((t < lengths)[:, None], after, forward[-1]))
    return forward


def _logsumexp(x: Tensor, dim: int) -> Tensor:
    """torch.logsumexp whose gradient is 0, not nan, where all summands are exp(-inf)."""
    most = x.detach().amax(dim, keepdim=True)
    most = torch.where(most == -math.inf, 0.0, most)
    total = torch.exp(x - most).sum(dim)
    some = total > 0
    return torch.where(some, torch.log(torch.where(some, total, 1.0)) + most.squeeze(dim), -math.inf)
