"""All paths of small chains, one by one: what a conditional random field is by definition."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from gatework.nn.crf import CRF


def field(K: int, seed: int = 0, forbid: float = 0.0, scale: float = 1.0, **options: object) -> CRF:
    """A field of K tags with random transitions, a share of them forbidden; tag 0 may start, end and follow itself."""
    torch.manual_seed(seed)
    legal, starts, ends = torch.rand(K, K) >= forbid, torch.rand(K) >= forbid, torch.rand(K) >= forbid
    legal[0, 0] = starts[0] = ends[0] = True
    crf = CRF(K, legal, starts, ends, **options).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.copy_(scale * torch.randn_like(parameter))
    return crf


def all_paths(crf: CRF, scores: Tensor, length: int) -> dict[tuple[int, ...], float]:
    """Every legal path of one row's first steps, with its score."""
    found = {}
    first, moves, last, rows = crf.first.tolist(), crf.transitions.tolist(), crf.last.tolist(), scores.tolist()
    for path in itertools.product(range(crf.tags), repeat=length):
        pairs = list(itertools.pairwise(path))
        if path and not (crf.starts[path[0]] and crf.ends[path[-1]] and all(crf.legal[i, j] for i, j in pairs)):
            continue
        score = sum(rows[t][tag] for t, tag in enumerate(path)) + sum(moves[i][j] for i, j in pairs)
        found[path] = score + (first[path[0]] + last[path[-1]] if path else 0.0)
    return found
